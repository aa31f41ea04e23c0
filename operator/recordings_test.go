package operator

import (
	"bytes"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/recording/store"
	"github.com/tidewaiter/tidewaiter/test/kubetest"
)

func TestTheOperatorsStoreOfRecordings(t *testing.T) {
	server := installed(t)
	for name, test := range map[string]func(*testing.T, *kubetest.Server){
		"what is asked of the store and cannot be had ends the start": endsTheStart,
		"a data source's own retention holds":                         ownRetention,
	} {
		t.Run(name, func(t *testing.T) { test(t, server) })
	}
	// At last, as it leaves a key that is damaged.
	t.Run("replicas that start together have the same keys", func(t *testing.T) { sameKeys(t, server) })
}

func sameKeys(t *testing.T, server *kubetest.Server) {
	clientset, err := kubernetes.NewForConfig(asOperator(t, server)) // with the rights that the manifests give
	if err != nil {
		t.Fatal(err)
	}
	own := clientset.CoreV1().Secrets(Namespace)
	seeds := make([][]byte, 4)
	var starting sync.WaitGroup
	for n := range seeds {
		starting.Go(func() {
			var err error
			if seeds[n], err = loadSeed(t.Context(), own, RecordingsKeySecret); err != nil {
				t.Error(err)
			}
		})
	}
	starting.Wait()
	for _, s := range seeds[1:] {
		if len(s) != 32 || !bytes.Equal(s, seeds[0]) {
			t.Error("two replicas have two keys")
		}
	}
	// What one wraps another unwraps, and after a restart too.
	one, err := openWrapper(t.Context(), own, "")
	if err != nil {
		t.Fatal(err)
	}
	two, err := openWrapper(t.Context(), own, "")
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := one.Encrypt(t.Context(), []byte("a session's key"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := two.Decrypt(t.Context(), sealed); err != nil || string(got) != "a session's key" {
		t.Errorf("%q, %v", got, err)
	}
	secret, err := own.Get(t.Context(), RecordingsKeySecret, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	secret.Data[seedKey] = []byte("s3cret")
	if err := admin(t, server).Update(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	if _, err := openWrapper(t.Context(), own, ""); err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("a key that was damaged: %v", err)
	}
}

func TestAKeyThatWouldShowInTheArgumentsIsRefused(t *testing.T) {
	for _, where := range []string{"base64key://smGbjm71Nxd1Ig5FS0wj9SlbzAIrnolCz9bQQ6uAhl4=", "nosuch://key", "%"} {
		_, err := openWrapper(t.Context(), nil, where)
		if err == nil || strings.Contains(err.Error(), "smGbjm71") {
			t.Errorf("%s: %v", where, err)
		}
	}
}

func endsTheStart(t *testing.T, server *kubetest.Server) {
	clientset, err := kubernetes.NewForConfig(server.Config)
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(t.TempDir(), "recordings")
	for want, o := range map[string]Options{
		"--recordings-lock: store: file:///": {Recordings: folder, RecordingsLock: store.LockCompliance},
		"--recordings-lock: store: the lock": {Recordings: folder, RecordingsLock: "Perhaps"},
		"--recordings: store: ":              {Recordings: "nosuch://bucket", RecordingsLock: store.LockNone},
		"--recordings-key: ":                 {Recordings: folder, RecordingsLock: store.LockNone, RecordingsKey: "nosuch://key"},
	} {
		if _, err := addRecordings(t.Context(), nil, &o, nil, clientset); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if kept, err := addRecordings(t.Context(), nil, &Options{}, nil, clientset); kept != nil || err != nil {
		t.Errorf("without --recordings: %v, %v", kept, err)
	}
}

func ownRetention(t *testing.T, server *kubetest.Server) {
	scheme, err := newScheme()
	if err != nil {
		t.Fatal(err)
	}
	direct, err := client.New(server.Config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	namespace := server.NewNamespace(t, nil)
	ds := func(name string, own *metav1.Duration) *v1alpha1.DataSource {
		return &v1alpha1.DataSource{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
			Spec: v1alpha1.DataSourceSpec{
				Protocol: v1alpha1.ProtocolPostgres,
				Postgres: &v1alpha1.PostgresSource{
					Host: "db.data.svc", Database: "orders", TLS: v1alpha1.PostgresTLS{Mode: v1alpha1.TLSVerifyFull},
				},
				Credentials: v1alpha1.Credentials{SecretRef: v1alpha1.SecretReference{Name: "db"}},
				Listen:      v1alpha1.Listen{Port: 5432},
				Recording:   v1alpha1.Recording{Retention: own},
			},
		}
	}
	for _, d := range []*v1alpha1.DataSource{ds("own", &metav1.Duration{Duration: 2 * time.Hour}), ds("usual", nil)} {
		if err := direct.Create(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	r := retention{reader: direct, usual: 24 * time.Hour}
	for name, want := range map[string]time.Duration{namespace + "/own": 2 * time.Hour, namespace + "/usual": r.usual, namespace + "/gone": r.usual} {
		if got, err := r.Of(t.Context(), name); err != nil || got != want {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	if got, err := r.Shortest(t.Context()); err != nil || got > 2*time.Hour {
		t.Errorf("shortest: %v, %v", got, err)
	}
	forEver := retention{reader: direct}
	if got, err := forEver.Of(t.Context(), namespace+"/usual"); err != nil || got != 0 {
		t.Errorf("for ever: %v, %v", got, err)
	}
	if got, err := forEver.Shortest(t.Context()); err != nil || got <= 0 {
		t.Errorf("one is to be removed, and nobody would: %v, %v", got, err)
	}
}
