package credential

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/authority"
	"github.com/tidewaiter/tidewaiter/test/kubetest"
)

func TestMain(m *testing.M) { kubetest.Main(m) }

func source(namespace, name, secret string) *v1alpha1.DataSource {
	return &v1alpha1.DataSource{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       v1alpha1.DataSourceSpec{Credentials: v1alpha1.Credentials{SecretRef: v1alpha1.SecretReference{Name: v1alpha1.ObjectName(secret)}}},
	}
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(40 * time.Second); !condition(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited 40 s for %s", what)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// The operator may read the one Secret that a Role names, and that is enough.
func TestARoleForOneSecretIsEnoughAndNothingElseIsRead(t *testing.T) {
	kube := kubetest.Shared(t)
	admin, err := kubernetes.NewForConfig(kube.Config)
	must(t, err)
	operator, err := kubernetes.NewForConfig(kube.User(t, "operator"))
	must(t, err)
	namespace := kube.NewNamespace(t, nil)
	s := NewStore(Cluster{Client: operator}, 0)
	var mu sync.Mutex
	var told []Ref
	s.OnChange(func(r Ref) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, r)
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- s.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		must(t, <-ended)
	})
	ds := source(namespace, "orders", "orders-db")
	read := func() (Material, error) { return Read(ds, s.Get) }
	if _, err := read(); Reason(err) != ReasonPending {
		t.Errorf("before anybody wants it: %v", err)
	}
	s.Want(ds)
	eventually(t, "the refusal", func() bool { _, err := read(); return Reason(err) == ReasonForbidden })
	if _, err := read(); !strings.Contains(err.Error(), namespace+"/orders-db") || !strings.Contains(err.Error(), "Role") {
		t.Errorf("the error names neither Secret nor cure: %v", err)
	}
	grant(t, admin, namespace, "orders-db")
	eventually(t, "the absence", func() bool { _, err := read(); return Reason(err) == ReasonNotFound })
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "orders-db"}, StringData: map[string]string{"username": "u", "password": "one"}}
	secret, err = admin.CoreV1().Secrets(namespace).Create(t.Context(), secret, metav1.CreateOptions{})
	must(t, err)
	eventually(t, "the Secret", func() bool { m, err := read(); return err == nil && m.Password == "one" })
	secret.StringData = map[string]string{"password": "two"}
	began := time.Now()
	_, err = admin.CoreV1().Secrets(namespace).Update(t.Context(), secret, metav1.UpdateOptions{})
	must(t, err)
	eventually(t, "the rotation", func() bool { m, err := read(); return err == nil && m.Password == "two" && m.Username == "u" })
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("the rotation took %v", took)
	}
	must(t, admin.CoreV1().Secrets(namespace).Delete(t.Context(), "orders-db", metav1.DeleteOptions{}))
	eventually(t, "the absence", func() bool { _, err := read(); return Reason(err) == ReasonNotFound })
	other := source(namespace, "other", "others-db")
	s.Want(other)
	eventually(t, "the refusal of another Secret", func() bool { _, err := Read(other, s.Get); return Reason(err) == ReasonForbidden })
	mu.Lock()
	defer mu.Unlock()
	if len(told) < 4 {
		t.Errorf("told of %v", told)
	}
}

func grant(t *testing.T, admin kubernetes.Interface, namespace, secret string) {
	t.Helper()
	role := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: "tidewaiter"}, Rules: []rbacv1.PolicyRule{{
		APIGroups: []string{""}, Resources: []string{"secrets"}, ResourceNames: []string{secret}, Verbs: []string{"get", "list", "watch"},
	}}}
	_, err := admin.RbacV1().Roles(namespace).Create(t.Context(), role, metav1.CreateOptions{})
	must(t, err)
	_, err = admin.RbacV1().RoleBindings(namespace).Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "tidewaiter"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "tidewaiter"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: "operator"}},
	}, metav1.CreateOptions{})
	must(t, err)
}

// scripted is a Source that tells nothing, and counts.
type scripted struct {
	mu      sync.Mutex
	running map[Ref]int
	tell    map[Ref]func(State)
}

func (s *scripted) Watch(ctx context.Context, ref Ref, tell func(State)) {
	s.mu.Lock()
	s.running[ref]++
	s.tell[ref] = tell
	s.mu.Unlock()
	<-ctx.Done()
	s.mu.Lock()
	s.running[ref]--
	s.mu.Unlock()
}

func (s *scripted) count() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range s.running {
		n += x
	}
	return n
}

func TestOnlyWhatIsWantedIsWatchedAndNotWithoutEnd(t *testing.T) {
	src := &scripted{running: map[Ref]int{}, tell: map[Ref]func(State){}}
	s := NewStore(src, 3)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- s.Start(ctx) }()
	s.Want(source("a", "one", "shared"))
	s.Want(source("a", "two", "shared"))
	eventually(t, "one watch", func() bool { return src.count() == 1 })
	for i := range 5 {
		s.Want(source("b", fmt.Sprint(i), fmt.Sprint("secret-", i)))
	}
	eventually(t, "as many as there may be", func() bool { return src.count() == 3 })
	_, err := s.Get(Ref{"b", "secret-4"})
	if e := (*Error)(nil); !errors.As(err, &e) || !strings.Contains(e.Message, "at most 3") {
		t.Errorf("the one too many: %v", err)
	}
	for i := range 5 {
		s.Forget(types.NamespacedName{Namespace: "b", Name: fmt.Sprint(i)})
	}
	s.Forget(types.NamespacedName{Namespace: "a", Name: "one"})
	eventually(t, "the shared one alone", func() bool { return src.count() == 1 })
	src.mu.Lock()
	late := src.tell[Ref{"b", "secret-0"}]
	src.mu.Unlock()
	late(State{Secret: &corev1.Secret{}})
	if _, err := s.Get(Ref{"b", "secret-0"}); err == nil {
		t.Error("a watch that was ended still tells")
	}
	cancel()
	must(t, <-ended)
	eventually(t, "no watch", func() bool { return src.count() == 0 })
}

func TestMistakesInSecretsAreNamedAndValuesAreNot(t *testing.T) {
	a, err := authority.New(time.Now())
	must(t, err)
	leaf, err := a.Serving([]string{"localhost"}, time.Now())
	must(t, err)
	key, err := leaf.KeyPEM()
	must(t, err)
	good := map[string][]byte{"username": []byte("u"), "password": []byte("s3cret")}
	full := source("data", "orders", "db")
	full.Spec.Postgres = &v1alpha1.PostgresSource{TLS: v1alpha1.PostgresTLS{
		CASecretRef:         &v1alpha1.SecretKeyReference{Name: "ca", Key: "ca.crt"},
		ClientCertSecretRef: &v1alpha1.SecretReference{Name: "pair"},
	}}
	full.Spec.Listen.TLSSecretRef = &v1alpha1.SecretReference{Name: "pair"}
	all := func() map[string]map[string][]byte {
		return map[string]map[string][]byte{
			"db": {"username": good["username"], "password": good["password"], "maskKey": []byte("sixteen bytes or more")},
			"ca": {"ca.crt": a.TrustBundle()}, "pair": {"tls.crt": leaf.CertificatePEM(), "tls.key": key},
		}
	}
	for name, c := range map[string]struct {
		change func(map[string]map[string][]byte)
		want   []string
	}{
		"nothing wrong":            {func(map[string]map[string][]byte) {}, nil},
		"no Secret":                {func(m map[string]map[string][]byte) { delete(m, "db") }, []string{"spec.credentials.secretRef: Secret data/db does not exist"}},
		"no password":              {func(m map[string]map[string][]byte) { delete(m["db"], "password") }, []string{"data/db", "password"}},
		"a short mask key":         {func(m map[string]map[string][]byte) { m["db"]["maskKey"] = []byte("s3cret") }, []string{"data/db", "maskKey"}},
		"no certificates":          {func(m map[string]map[string][]byte) { m["ca"]["ca.crt"] = []byte("s3cret") }, []string{"caSecretRef", "data/ca", "ca.crt"}},
		"a key beside the CA":      {func(m map[string]map[string][]byte) { m["ca"]["ca.crt"] = append(bytes.Clone(key), a.TrustBundle()...) }, []string{"data/ca"}},
		"a key after the CA":       {func(m map[string]map[string][]byte) { m["ca"]["ca.crt"] = append(bytes.Clone(a.TrustBundle()), key...) }, []string{"data/ca"}},
		"a key that does not fit":  {func(m map[string]map[string][]byte) { m["pair"]["tls.key"] = []byte("s3cret") }, []string{"clientCertSecretRef", "tlsSecretRef", "data/pair"}},
		"a value beyond all bound": {func(m map[string]map[string][]byte) { m["db"]["password"] = make([]byte, maxValue+1) }, []string{"data/db"}},
	} {
		t.Run(name, func(t *testing.T) {
			secrets := all()
			c.change(secrets)
			m, err := Read(full, func(r Ref) (*corev1.Secret, error) {
				if secrets[r.Name] == nil {
					return nil, missing().Err
				}
				return &corev1.Secret{Data: secrets[r.Name]}, nil
			})
			if c.want == nil {
				if err != nil || m.Password != "s3cret" || len(m.MaskKey) != 32 || m.CA == nil || m.ClientKey == nil || m.ListenKey == nil {
					t.Errorf("%v", err)
				}
				for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
					if text := fmt.Sprintf(verb, m); strings.Contains(text, "s3cret") {
						t.Errorf("%s shows it: %s", verb, text)
					}
				}
				return
			}
			if err == nil {
				t.Fatal("taken")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not name %q", err, want)
				}
			}
			if strings.Contains(err.Error(), "s3cret") || m.Password != "" {
				t.Errorf("told: %v", err)
			}
		})
	}
}
