package distribute

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"gocloud.dev/secrets/localsecrets"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/authority"
	"github.com/tidewaiter/tidewaiter/controllers/acquired"
	"github.com/tidewaiter/tidewaiter/controllers/approvals"
	"github.com/tidewaiter/tidewaiter/controllers/credential"
	"github.com/tidewaiter/tidewaiter/controllers/recordings"
	"github.com/tidewaiter/tidewaiter/controllers/session"
	"github.com/tidewaiter/tidewaiter/injection"
	"github.com/tidewaiter/tidewaiter/recording/store"
	"github.com/tidewaiter/tidewaiter/test/kubetest"
)

func TestMain(m *testing.M) {
	log.SetLogger(logr.Discard()) // what controller-runtime has to say is not what is tested
	kubetest.Main(m)
}

const (
	operatorName = "tidewaiter-operator.tidewaiter-system.svc"
	// canary is the credential; it must be seen by nobody but the sidecar.
	canary = "c4n4ry-p4ssw0rd"
)

var settings = injection.Settings{Image: "example.org/tidewaiter-proxy:v0.1.0", Operator: operatorName + ":8443"}

// operator is one replica, on the test's API server.
type operator struct {
	kube    *kubetest.Server
	client  client.Client // not cached, may do everything
	server  *Server
	keeper  *authority.Keeper
	writer  *session.Writer
	address string
	stop    func() // and wait
	folder  string
	attests ed25519.PrivateKey
	kept    leaves
	log     *logged
}

// logged is all that a replica logs, at every level.
type logged struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *logged) logger() logr.Logger {
	return funcr.New(func(prefix, args string) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.text.WriteString(prefix + " " + args + "\n")
	}, funcr.Options{Verbosity: 10})
}

// scheme has everything that is used.
var scheme = sync.OnceValue(func() *runtime.Scheme {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(s); err != nil {
			panic(err)
		}
	}
	return s
})

// start runs a replica; change may be nil.
func start(t *testing.T, change func(*Options, *session.Options)) *operator {
	t.Helper()
	kube := kubetest.Shared(t)
	config := *kube.Config
	config.QPS, config.Burst = 500, 1000
	direct, err := client.New(&config, client.Options{Scheme: scheme()})
	must(t, err)
	clientset, err := kubernetes.NewForConfig(&config)
	must(t, err)
	objects, err := cache.New(&config, cache.Options{Scheme: scheme()})
	must(t, err)
	cached, err := client.New(&config, client.Options{Scheme: scheme(), Cache: &client.CacheOptions{Reader: objects}})
	must(t, err)
	system := kube.NewNamespace(t, nil)
	o := &operator{kube: kube, client: direct, folder: t.TempDir(), log: &logged{}}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(o.log.String())
		}
	})
	o.keeper = authority.NewKeeper(authority.KeeperOptions{Client: direct, Namespace: system})
	must(t, o.keeper.Load(t.Context()))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	o.address = listener.Addr().String()
	kept := o.recordings(t)
	secrets := credential.NewStore(credential.Cluster{Client: clientset}, 0)
	sessionOptions := session.Options{Client: cached, Replica: "operator-0", Grace: 2 * time.Second, Log: o.log.logger()}
	options := Options{
		Cache: objects, Tokens: clientset.AuthenticationV1().TokenReviews(), Secrets: secrets, Authority: o.keeper,
		Acquired:  &acquired.Keeper{Reader: direct, Writer: direct, Now: time.Now},
		Injection: settings, Listener: listener, Names: []string{operatorName}, Recordings: kept,
		Log: o.log.logger(),
	}
	desk := approvals.Options{Client: cached, Cache: objects, Served: Served(cached), Patience: 3 * time.Second, Log: o.log.logger()}
	options.Approvals, err = approvals.New(desk)
	must(t, err)
	if change != nil {
		change(&options, &sessionOptions)
	}
	o.writer = session.NewWriter(sessionOptions)
	options.Sessions = o.writer
	o.server, err = New(options)
	must(t, err)
	o.run(t, objects.Start, secrets.Start, o.writer.Start, options.Approvals.Start, o.server.Start)
	eventually(t, "the server to be ready", func() bool { return o.server.Ready(nil) == nil })
	return o
}

// recordings is a store in the folder.
func (o *operator) recordings(t *testing.T) *recordings.Store {
	t.Helper()
	bucket, err := store.Open(t.Context(), o.folder)
	must(t, err)
	wrapping, err := localsecrets.NewRandomKey()
	must(t, err)
	_, o.attests, err = ed25519.GenerateKey(rand.Reader)
	must(t, err)
	kept, err := recordings.New(t.Context(), recordings.Options{
		Bucket: bucket, Wrapper: localsecrets.NewKeeper(wrapping), Key: o.attests, Log: &o.kept, Retention: forEver{},
	})
	must(t, err)
	return kept
}

// run starts the parts, and stops them in the end.
func (o *operator) run(t *testing.T, parts ...func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for _, part := range parts {
		running.Go(func() {
			if err := part(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	o.stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
	})
	t.Cleanup(o.stop)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !condition(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited a minute for %s", what)
		}
	}
}

// shop is two namespaces: an owner's with a DataSource and a policy, and one with
// workloads.
type shop struct {
	*operator
	data, work string
}

func (o *operator) shop(t *testing.T) shop {
	t.Helper()
	s := shop{operator: o, data: o.kube.NewNamespace(t, nil)}
	s.work = o.kube.NewNamespace(t, map[string]string{"team": "shop", injection.NamespaceLabel: injection.NamespaceEnabled})
	s.secret(t, "orders-db", map[string]string{"username": "app", "password": canary})
	s.dataSource(t, "orders")
	s.policy(t, "reporting", "orders")
	return s
}

func (s shop) secret(t *testing.T, name string, values map[string]string) {
	t.Helper()
	must(t, s.client.Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.data, Name: name}, StringData: values,
	}))
}

func (s shop) dataSource(t *testing.T, name string) *v1alpha1.DataSource {
	t.Helper()
	ds := &v1alpha1.DataSource{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.data, Name: name},
		Spec: v1alpha1.DataSourceSpec{
			Protocol: v1alpha1.ProtocolPostgres,
			Postgres: &v1alpha1.PostgresSource{
				Host: name + "-db.data.svc", Database: name, TLS: v1alpha1.PostgresTLS{Mode: v1alpha1.TLSVerifyFull},
			},
			Credentials:       v1alpha1.Credentials{SecretRef: v1alpha1.SecretReference{Name: "orders-db"}},
			AllowedNamespaces: v1alpha1.AllowedNamespaces{Selector: &v1alpha1.LabelSelector{MatchLabels: map[string]v1alpha1.LabelValue{"team": "shop"}}},
			Listen:            v1alpha1.Listen{Port: 5432},
			Classifications:   []v1alpha1.Classification{{Columns: []v1alpha1.ColumnPattern{"*.*.ssn"}, Tags: []v1alpha1.Tag{"pii/ssn"}}},
		},
	}
	must(t, s.client.Create(t.Context(), ds))
	return ds
}

func (s shop) policy(t *testing.T, name, dataSource string) *v1alpha1.AccessPolicy {
	t.Helper()
	p := &v1alpha1.AccessPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.data, Name: name},
		Spec: v1alpha1.AccessPolicySpec{
			DataSources: []v1alpha1.DataSourceReference{{Name: v1alpha1.ObjectName(dataSource)}},
			Subjects:    []v1alpha1.Subject{{NamespaceSelector: &v1alpha1.LabelSelector{MatchLabels: map[string]v1alpha1.LabelValue{"team": "shop"}}}},
			Rules:       []v1alpha1.Rule{{Name: "read", Action: v1alpha1.ActionAllow, Statements: []v1alpha1.StatementClass{"Select"}, Tables: []v1alpha1.TablePattern{"*.*"}}},
		},
	}
	must(t, s.client.Create(t.Context(), p))
	return p
}

// pod makes a pod as injection leaves it, with the shop's data sources.
func (s shop) pod(t *testing.T, name string, dataSources ...string) *corev1.Pod {
	t.Helper()
	p := injected(s.work, name, s.names(dataSources))
	must(t, s.client.Create(t.Context(), p))
	return p
}

func (s shop) names(dataSources []string) []string {
	var out []string
	for _, ds := range dataSources {
		out = append(out, s.data+"/"+ds)
	}
	return out
}

// injected is a pod as injection leaves it.
func injected(namespace, name string, dataSources []string) *corev1.Pod {
	st := &injection.Status{
		Version: injection.StatusVersion, DataSources: dataSources, Sidecar: injection.ModeNative,
		HealthPort: injection.HealthPort, LogLevel: injection.LogInfo, SpoolSize: "256Mi",
	}
	text, err := st.Marshal()
	if err != nil {
		panic(err)
	}
	volumes, err := injection.Volumes(st)
	if err != nil {
		panic(err)
	}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: name, Labels: map[string]string{"app": "report", injection.InjectedLabel: injection.Injected},
			Annotations: map[string]string{injection.StatusAnnotation: text},
		},
		Spec: corev1.PodSpec{
			ServiceAccountName: "default",
			InitContainers:     []corev1.Container{injection.Container(&settings, st)},
			Containers:         []corev1.Container{{Name: "app", Image: "example.org/app"}},
			Volumes:            volumes,
		},
	}
}

// session reads a Session.
func (s shop) session(t *testing.T, pod, dataSource string) *v1alpha1.Session {
	t.Helper()
	var out v1alpha1.Session
	err := s.client.Get(t.Context(), types.NamespacedName{Namespace: s.work, Name: pod + "-" + dataSource}, &out)
	if client.IgnoreNotFound(err) != nil {
		t.Fatal(err)
	}
	return &out
}

// update changes an object that others may change too.
func update[T client.Object](t *testing.T, c client.Client, o T, change func(T)) {
	t.Helper()
	for range 10 {
		must(t, c.Get(t.Context(), client.ObjectKeyFromObject(o), o))
		change(o)
		err := c.Update(t.Context(), o)
		if err == nil {
			return
		}
		if !strings.Contains(err.Error(), "the object has been modified") {
			t.Fatal(err)
		}
	}
	t.Fatalf("%T changes too often", o)
}
