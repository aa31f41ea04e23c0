package datasource

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/controllers/census"
	"github.com/tidewaiter/tidewaiter/controllers/credential"
	"github.com/tidewaiter/tidewaiter/controllers/phase"
	"github.com/tidewaiter/tidewaiter/test/postgrestest"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

var request = reconcile.Request{NamespacedName: types.NamespacedName{Namespace: "data", Name: "orders"}}

// bench is a reconciler on an API in memory; the database is real.
type bench struct {
	t      *testing.T
	client client.Client
	runner *phase.Runner[*v1alpha1.DataSource]
	events *events.FakeRecorder
	now    time.Time
	deny   string // a Secret that may not be read
}

const password = "correct horse battery staple"

// newBench has a DataSource of a fresh database with a role of its own, changed by change.
func newBench(t *testing.T, change func(*v1alpha1.DataSource, *corev1.Secret)) *bench {
	t.Helper()
	server := postgrestest.Shared(t)
	name := server.NewDatabase(t, `CREATE TABLE customers (id int, name text, email text, ssn text); CREATE SCHEMA archive; CREATE TABLE archive.people (email text, "100%_sure" text)`)
	role := "app_" + name
	if err := server.Exec(t.Context(), "postgres", fmt.Sprintf(`CREATE ROLE %s LOGIN PASSWORD '%s'`, role, password)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Exec(context.Background(), "postgres", "DROP ROLE "+role); err != nil {
			t.Error(err)
		}
	})
	ca, err := server.CA()
	if err != nil {
		t.Fatal(err)
	}
	ds := &v1alpha1.DataSource{
		ObjectMeta: metav1.ObjectMeta{Namespace: "data", Name: "orders", UID: "u1", Generation: 1},
		Spec: v1alpha1.DataSourceSpec{
			Protocol: v1alpha1.ProtocolPostgres,
			Postgres: &v1alpha1.PostgresSource{
				Host: "localhost", Port: int32(server.Port), Database: name,
				TLS: v1alpha1.PostgresTLS{Mode: v1alpha1.TLSVerifyFull, CASecretRef: &v1alpha1.SecretKeyReference{Name: "orders-ca", Key: "ca.crt"}},
			},
			Credentials:     v1alpha1.Credentials{SecretRef: v1alpha1.SecretReference{Name: "orders-db"}},
			Listen:          v1alpha1.Listen{Port: 5432},
			Classifications: []v1alpha1.Classification{{Columns: []v1alpha1.ColumnPattern{"public.customers.ssn", "*.*.email"}, Tags: []v1alpha1.Tag{"pii/x"}}},
		},
	}
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: "data", Name: "orders-db", UID: "s1"},
		Data:       map[string][]byte{"username": []byte(role), "password": []byte(password)},
	}
	if change != nil {
		change(ds, secret)
	}
	authority := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "data", Name: "orders-ca", UID: "s2"}, Data: map[string][]byte{"ca.crt": ca}}
	return onObjects(t, ds, secret, authority)
}

func onObjects(t *testing.T, objects ...client.Object) *bench {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{v1alpha1.AddToScheme, clientgoscheme.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	b := &bench{t: t, events: events.NewFakeRecorder(32), now: time.Now()}
	b.client = fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).
		WithStatusSubresource(&v1alpha1.DataSource{}).WithIndex(&v1alpha1.Session{}, census.IndexName, census.Key).
		Build()
	b.runner = New(phase.Clients{
		Cached: b.client, Live: b.client, Status: b.client, Events: b.events, Now: func() time.Time { return b.now },
	}, named{b})
	return b
}

// named reads Secrets as the store of a cluster does, and at once.
type named struct{ *bench }

func (named) Want(*v1alpha1.DataSource)   {}
func (named) Forget(types.NamespacedName) {}

func (n named) Get(ref credential.Ref) (*corev1.Secret, error) {
	var secret corev1.Secret
	err := n.client.Get(n.t.Context(), types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name}, &secret)
	switch {
	case ref.Name == n.deny:
		return nil, &credential.Error{Reason: credential.ReasonForbidden, Message: "may not be read by the operator"}
	case apierrors.IsNotFound(err):
		return nil, &credential.Error{Reason: credential.ReasonNotFound, Message: "does not exist: create it"}
	}
	return &secret, err
}

func (b *bench) reconcile() (*v1alpha1.DataSource, reconcile.Result) {
	b.t.Helper()
	result, err := b.runner.Reconcile(b.t.Context(), request)
	if err != nil {
		b.t.Fatal(err)
	}
	var ds v1alpha1.DataSource
	if err := b.client.Get(b.t.Context(), request.NamespacedName, &ds); err != nil {
		b.t.Fatal(err)
	}
	return &ds, result
}

// everything is all that people see: status and events.
func (b *bench) everything(ds *v1alpha1.DataSource) string {
	out := fmt.Sprintf("%+v", ds.Status)
	for len(b.events.Events) > 0 {
		out += "\n" + <-b.events.Events
	}
	return out
}

func want(t *testing.T, ds *v1alpha1.DataSource, condition string, status metav1.ConditionStatus, reason string) string {
	t.Helper()
	c := meta.FindStatusCondition(ds.Status.Conditions, condition)
	if c == nil || c.Status != status || c.Reason != reason {
		t.Errorf("condition %s is %+v, want %s %s", condition, c, status, reason)
		return ""
	}
	return c.Message
}

func TestADataSourceThatAnswersIsReadyAndItsColumnsAreCounted(t *testing.T) {
	b := newBench(t, nil)
	ds, result := b.reconcile()
	want(t, ds, v1alpha1.ConditionAccepted, metav1.ConditionTrue, v1alpha1.ReasonAccepted)
	want(t, ds, v1alpha1.ConditionResolvedRefs, metav1.ConditionTrue, v1alpha1.ReasonResolved)
	want(t, ds, v1alpha1.ConditionReachable, metav1.ConditionTrue, v1alpha1.ReasonReachable)
	want(t, ds, v1alpha1.ConditionProgrammed, metav1.ConditionTrue, v1alpha1.ReasonProgrammed)
	want(t, ds, v1alpha1.ConditionEnforced, metav1.ConditionTrue, v1alpha1.ReasonNoSidecars)
	want(t, ds, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady)
	if c := ds.Status.Classified; c == nil || c.Columns != 3 || c.Summary != "3 columns" {
		t.Errorf("classified %+v", c)
	}
	if result.RequeueAfter < lookAgain || result.RequeueAfter > 2*lookAgain {
		t.Errorf("looks again after %s", result.RequeueAfter)
	}
}

func TestWhatKeepsADataSourceFromAnsweringIsSaidWithTheCureAndWithoutTheCredential(t *testing.T) {
	silent := listen(t)
	for name, test := range map[string]struct {
		change func(*v1alpha1.DataSource, *corev1.Secret)
		reason string
		want   []string
	}{
		"a wrong password": {
			change: func(_ *v1alpha1.DataSource, s *corev1.Secret) { s.Data["password"] = []byte("wrong, and secret") },
			reason: v1alpha1.ReasonAuthenticationFailed, want: []string{"Secret data/orders-db", "28P01", "correct its keys"},
		},
		"a database that is not there": {
			change: func(ds *v1alpha1.DataSource, _ *corev1.Secret) { ds.Spec.Postgres.Database = "nowhere" },
			reason: v1alpha1.ReasonUnreachable, want: []string{`no database "nowhere"`, "spec.postgres.database"},
		},
		"nobody at the port": {
			change: func(ds *v1alpha1.DataSource, _ *corev1.Secret) { ds.Spec.Postgres.Port = 1 },
			reason: v1alpha1.ReasonUnreachable, want: []string{"localhost:1", "connection refused"},
		},
		"a name that nobody has": {
			change: func(ds *v1alpha1.DataSource, _ *corev1.Secret) { ds.Spec.Postgres.Host = "orders.invalid" },
			reason: v1alpha1.ReasonUnreachable, want: []string{"orders.invalid", "cannot be resolved", "spec.postgres.host"},
		},
		"a certificate of another authority": {
			change: func(ds *v1alpha1.DataSource, _ *corev1.Secret) { ds.Spec.Postgres.TLS.CASecretRef = nil },
			reason: v1alpha1.ReasonUnreachable, want: []string{"certificate is not believed", "tls.mode verify-full", "caSecretRef"},
		},
		"somebody who never answers": {
			change: func(ds *v1alpha1.DataSource, _ *corev1.Secret) {
				ds.Spec.Postgres.Host, ds.Spec.Postgres.Port = "127.0.0.1", int32(silent)
			},
			reason: v1alpha1.ReasonUnreachable, want: []string{"does not answer within 5s"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, test.change)
			ds, result := b.reconcile()
			message := want(t, ds, v1alpha1.ConditionReachable, metav1.ConditionFalse, test.reason)
			for _, words := range test.want {
				if !strings.Contains(message, words) {
					t.Errorf("%q does not say %q", message, words)
				}
			}
			want(t, ds, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonNotReady)
			if all := b.everything(ds); strings.Contains(all, "secret)") || strings.Contains(all, "app_test") || strings.Contains(all, password) || strings.Contains(all, "wrong, and") {
				t.Errorf("the credential is told: %s", all)
			}
			if result.RequeueAfter < lookAgainSoon || result.RequeueAfter > 2*lookAgainSoon {
				t.Errorf("looks again after %s", result.RequeueAfter)
			}
		})
	}
}

// listen accepts connections and says nothing.
func listen(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().(*net.TCPAddr).Port
}

func TestEveryModeOfTLSIsAsStrictAsItSays(t *testing.T) {
	for mode, status := range map[v1alpha1.TLSMode]metav1.ConditionStatus{
		v1alpha1.TLSDisable: metav1.ConditionTrue, v1alpha1.TLSRequire: metav1.ConditionTrue,
		v1alpha1.TLSVerifyCA: metav1.ConditionTrue, v1alpha1.TLSVerifyFull: metav1.ConditionFalse,
	} {
		t.Run(string(mode), func(t *testing.T) {
			b := newBench(t, func(ds *v1alpha1.DataSource, _ *corev1.Secret) {
				pg := ds.Spec.Postgres
				pg.TLS.Mode = mode
				pg.Host, pg.Port = "127.0.0.2", forward(t, postgrestest.Shared(t).Address()) // not among the certificate's names
			})
			ds, _ := b.reconcile()
			if c := meta.FindStatusCondition(ds.Status.Conditions, v1alpha1.ConditionReachable); c.Status != status {
				t.Errorf("%s %s: %s", c.Status, c.Reason, c.Message)
			}
		})
	}
}

// forward makes a server answer at 127.0.0.2 too.
func forward(t *testing.T, address string) int32 {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", address)
			if err != nil {
				client.Close()
				continue
			}
			go func() { io.Copy(server, client); server.Close() }()
			go func() { io.Copy(client, server); client.Close() }()
		}
	}()
	return int32(l.Addr().(*net.TCPAddr).Port)
}

func TestASecretThatCannotBeUsedIsNamedWithItsFieldAndTheCure(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*v1alpha1.DataSource, *corev1.Secret)
		deny   string
		reason string
		want   string
	}{
		"not there": {
			change: func(ds *v1alpha1.DataSource, _ *corev1.Secret) { ds.Spec.Credentials.SecretRef.Name = "other" },
			reason: v1alpha1.ReasonSecretNotFound, want: "spec.credentials.secretRef: Secret data/other does not exist: create it",
		},
		"without a password": {
			change: func(_ *v1alpha1.DataSource, s *corev1.Secret) { delete(s.Data, "password") },
			reason: v1alpha1.ReasonSecretInvalid, want: "spec.credentials.secretRef: Secret data/orders-db has nothing in its key password: set it",
		},
		"not allowed": {
			deny: "orders-ca", reason: v1alpha1.ReasonSecretForbidden,
			want: "spec.postgres.tls.caSecretRef: Secret data/orders-ca may not be read by the operator",
		},
		"no certificate": {
			change: func(ds *v1alpha1.DataSource, _ *corev1.Secret) {
				ds.Spec.Postgres.TLS.CASecretRef = &v1alpha1.SecretKeyReference{Name: "orders-db", Key: "password"}
			},
			reason: v1alpha1.ReasonSecretInvalid, want: "spec.postgres.tls.caSecretRef: Secret data/orders-db holds no PEM certificates in its key password",
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, test.change)
			b.deny = test.deny
			ds, _ := b.reconcile()
			if message := want(t, ds, v1alpha1.ConditionResolvedRefs, metav1.ConditionFalse, test.reason); !strings.Contains(message, test.want) {
				t.Errorf("%q does not say %q", message, test.want)
			}
			want(t, ds, v1alpha1.ConditionReachable, metav1.ConditionUnknown, v1alpha1.ReasonPending)
			if all := b.everything(ds); strings.Contains(all, password) {
				t.Errorf("the password is told: %s", all)
			}
		})
	}
}

func TestTheDatabaseIsAskedOnceAMinuteOrWhenSomethingChanges(t *testing.T) {
	b := newBench(t, nil)
	logins := func() string {
		t.Helper()
		b.reconcile()
		ds, _ := b.reconcile()
		return meta.FindStatusCondition(ds.Status.Conditions, v1alpha1.ConditionReachable).Reason
	}
	if got := logins(); got != v1alpha1.ReasonReachable {
		t.Fatal(got)
	}
	// The role may no longer log in. That shows when the minute is over, and not by a login at every look.
	server := postgrestest.Shared(t)
	var secret corev1.Secret
	if err := b.client.Get(t.Context(), types.NamespacedName{Namespace: "data", Name: "orders-db"}, &secret); err != nil {
		t.Fatal(err)
	}
	role := string(secret.Data["username"])
	if err := server.Exec(t.Context(), "postgres", "ALTER ROLE "+role+" NOLOGIN"); err != nil {
		t.Fatal(err)
	}
	if got := logins(); got != v1alpha1.ReasonReachable {
		t.Errorf("%s within the minute", got)
	}
	b.now = b.now.Add(lookAgain)
	if got := logins(); got != v1alpha1.ReasonAuthenticationFailed {
		t.Errorf("%s after the minute", got)
	}
	if err := server.Exec(t.Context(), "postgres", "ALTER ROLE "+role+" LOGIN"); err != nil {
		t.Fatal(err)
	}
	if got := logins(); got != v1alpha1.ReasonAuthenticationFailed {
		t.Errorf("%s at once", got)
	}
	secret.Labels = map[string]string{"touched": "yes"} // another version of the Secret may be another credential
	if err := b.client.Update(t.Context(), &secret); err != nil {
		t.Fatal(err)
	}
	if got := logins(); got != v1alpha1.ReasonReachable {
		t.Errorf("%s after a change of the Secret", got)
	}
}

func TestAPolicyThatDoesNotCompileIsToldOnTheDataSourceToo(t *testing.T) {
	b := newBench(t, nil)
	bad := &v1alpha1.AccessPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: "data", Name: "bad"},
		Spec: v1alpha1.AccessPolicySpec{
			DataSources: []v1alpha1.DataSourceReference{{Name: "orders"}}, Rego: "package tidewaiter.custom\n\nallow if true",
		},
	}
	if err := b.client.Create(t.Context(), bad); err != nil {
		t.Fatal(err)
	}
	ds, _ := b.reconcile()
	if m := want(t, ds, v1alpha1.ConditionProgrammed, metav1.ConditionFalse, v1alpha1.ReasonInvalid); !strings.Contains(m, "AccessPolicy data/bad") {
		t.Error(m)
	}
}

func TestASidecarThatHasNotAcknowledgedIsWaitedFor(t *testing.T) {
	b := newBench(t, func(ds *v1alpha1.DataSource, _ *corev1.Secret) { ds.Generation = 2 })
	session := &v1alpha1.Session{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "report"},
		Spec: v1alpha1.SessionSpec{
			Pod: v1alpha1.PodReference{Name: "report-7d9", UID: "p1"}, ServiceAccount: "agent",
			DataSource: v1alpha1.NamespacedReference{Namespace: "data", Name: "orders"},
		},
		Status: v1alpha1.SessionStatus{State: v1alpha1.SessionActive, DataSourceGeneration: 1},
	}
	if err := b.client.Create(t.Context(), session); err != nil {
		t.Fatal(err)
	}
	ds, _ := b.reconcile()
	if m := want(t, ds, v1alpha1.ConditionEnforced, metav1.ConditionFalse, v1alpha1.ReasonWaitingForSidecars); m != "0/1 sidecars at revision 2; waiting for shop/report-7d9" {
		t.Error(m)
	}
	session.Status.DataSourceGeneration = 2
	if err := b.client.Update(t.Context(), session); err != nil {
		t.Fatal(err)
	}
	ds, _ = b.reconcile()
	want(t, ds, v1alpha1.ConditionEnforced, metav1.ConditionTrue, v1alpha1.ReasonEnforced)
}
