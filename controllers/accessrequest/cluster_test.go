package accessrequest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/controllers/phase"
	"github.com/tidewaiter/tidewaiter/test/kubetest"
)

func TestMain(m *testing.M) { kubetest.Main(m) }

const patience = time.Minute

// bench is a reconciler on a real API server, with a namespace and a clock of its own. Nothing is reconciled but what a test
// says. What admission stamps, the tests write themselves.
type bench struct {
	*Reconciler
	t         *testing.T
	namespace string
	admin     client.Client
	cache     cache.Cache
	mu        sync.Mutex
	now       time.Time
}

func newBench(t *testing.T) *bench {
	t.Helper()
	server := kubetest.Shared(t)
	b := &bench{t: t, namespace: server.NewNamespace(t, nil), now: time.Now()}
	scheme := runtime.NewScheme()
	must(t, errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)))
	config := rest.CopyConfig(server.Config)
	config.QPS = -1
	var err error
	b.admin, err = client.New(config, client.Options{Scheme: scheme})
	must(t, err)
	b.cache, err = cache.New(config, cache.Options{Scheme: scheme, DefaultNamespaces: map[string]cache.Config{b.namespace: {}}})
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	must(t, Index(ctx, b.cache))
	for _, kind := range []client.Object{&v1alpha1.AccessRequest{}, &v1alpha1.AccessDecision{}, &v1alpha1.AccessPolicy{}, &corev1.Pod{}} {
		_, err := b.cache.GetInformer(ctx, kind, cache.BlockUntilSynced(false))
		must(t, err)
	}
	go func() { _ = b.cache.Start(ctx) }()
	if !b.cache.WaitForCacheSync(ctx) {
		t.Fatal("the cache is not filled")
	}
	b.Reconciler = New(phase.Clients{
		Cached: b.cache, Live: b.admin, Status: b.admin, Events: events.NewFakeRecorder(1000), Now: func() time.Time {
			b.mu.Lock()
			defer b.mu.Unlock()
			return b.now
		},
	}, b.admin, time.Hour)
	server.Apply(t, fmt.Sprintf(`
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: approve, namespace: %[1]s}
rules: [{apiGroups: [tidewaiter.dev], resources: [accesspolicies], verbs: [approve]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: approve, namespace: %[1]s}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: approve}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: alice}]
---
apiVersion: tidewaiter.dev/v1alpha1
kind: AccessPolicy
metadata: {name: reporting, namespace: %[1]s}
spec:
  dataSources: [{name: orders}]
  subjects: [{namespaceSelector: {}}]
  rules:
  - {name: once, action: RequireApproval, statements: [CopyOut]}
  - {name: session, action: RequireApproval, statements: [Update], approval: {grant: Session}}
  - {name: hours, action: RequireApproval, statements: [Delete], approval: {grant: 2h}}
`, b.namespace))
	return b
}

// later moves the clock.
func (b *bench) later(d time.Duration) {
	b.mu.Lock()
	b.now = b.now.Add(d)
	b.mu.Unlock()
}

// request makes a request of a pod for a quarter of an hour by the bench's clock.
func (b *bench) request(name, rule string, pod *corev1.Pod) *v1alpha1.AccessRequest {
	b.t.Helper()
	r := &v1alpha1.AccessRequest{
		ObjectMeta: metav1.ObjectMeta{Namespace: b.namespace, Name: name},
		Spec: v1alpha1.AccessRequestSpec{
			DataSource: v1alpha1.DataSourceReference{Name: "orders"}, Policy: "reporting", Rule: rule,
			Requester: v1alpha1.Requester{
				Namespace: pod.Namespace, ServiceAccount: "agent", Pod: &v1alpha1.PodReference{Name: v1alpha1.ObjectName(pod.Name), UID: string(pod.UID)},
			},
			Statement: &v1alpha1.HeldStatement{Session: "s", Digest: v1alpha1.Digest(strings.Repeat("a1", 32)), Text: "COPY", Hold: "h"},
			ExpiresAt: metav1.NewTime(b.Now().Add(15 * time.Minute)), CreatedBy: &v1alpha1.Decider{Username: "operator"},
		},
	}
	must(b.t, b.admin.Create(b.t.Context(), r))
	b.seen(r)
	b.reconcile(r)
	return b.state(r, v1alpha1.RequestPending)
}

func (b *bench) decide(r *v1alpha1.AccessRequest, who string, kind v1alpha1.DecisionKind) {
	b.t.Helper()
	d := &v1alpha1.AccessDecision{
		ObjectMeta: metav1.ObjectMeta{Namespace: r.Namespace, GenerateName: "d-"},
		Spec: v1alpha1.AccessDecisionSpec{
			RequestRef: v1alpha1.AccessRequestReference{Name: v1alpha1.ObjectName(r.Name), UID: string(r.UID), Digest: r.Spec.Statement.Digest},
			Decision:   kind, DecidedBy: &v1alpha1.Decider{Username: who},
		},
	}
	must(b.t, b.admin.Create(b.t.Context(), d))
	b.eventually("the cache has the decision", func() error {
		return b.cache.Get(b.t.Context(), client.ObjectKeyFromObject(d), &v1alpha1.AccessDecision{})
	})
}

// seen waits until the cache has what the API server has.
func (b *bench) seen(r *v1alpha1.AccessRequest) {
	b.t.Helper()
	b.eventually("the cache has the request", func() error {
		var cached, live v1alpha1.AccessRequest
		if err := errors.Join(b.admin.Get(b.t.Context(), client.ObjectKeyFromObject(r), &live), b.cache.Get(b.t.Context(), client.ObjectKeyFromObject(r), &cached)); err != nil {
			return err
		}
		if cached.ResourceVersion != live.ResourceVersion {
			return fmt.Errorf("%s is not %s", cached.ResourceVersion, live.ResourceVersion)
		}
		return nil
	})
}

// reconcile looks at a request once, and waits until the cache has what came of it.
func (b *bench) reconcile(r *v1alpha1.AccessRequest) reconcile.Result {
	b.t.Helper()
	result, err := b.Reconcile(b.t.Context(), reconcile.Request{NamespacedName: client.ObjectKeyFromObject(r)})
	must(b.t, err)
	if !b.gone(r) {
		b.seen(r)
	}
	return result
}

func (b *bench) state(r *v1alpha1.AccessRequest, want v1alpha1.AccessRequestState) *v1alpha1.AccessRequest {
	b.t.Helper()
	var live v1alpha1.AccessRequest
	must(b.t, b.admin.Get(b.t.Context(), client.ObjectKeyFromObject(r), &live))
	if live.Status.State != want {
		b.t.Fatalf("%s is %s, want %s: %+v", r.Name, live.Status.State, want, live.Status)
	}
	return &live
}

func (b *bench) gone(r *v1alpha1.AccessRequest) bool {
	b.t.Helper()
	err := b.admin.Get(b.t.Context(), client.ObjectKeyFromObject(r), &v1alpha1.AccessRequest{})
	must(b.t, client.IgnoreNotFound(err))
	return apierrors.IsNotFound(err)
}

func (b *bench) pod(name string) *corev1.Pod {
	b.t.Helper()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: b.namespace, Name: name},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "a", Image: "a"}}},
	}
	must(b.t, b.admin.Create(b.t.Context(), pod))
	b.eventually("the cache has the pod", func() error {
		return b.cache.Get(b.t.Context(), client.ObjectKeyFromObject(pod), &corev1.Pod{})
	})
	return pod
}

func (b *bench) eventually(what string, check func() error) {
	b.t.Helper()
	deadline := time.Now().Add(patience)
	for err := check(); err != nil; err = check() {
		if time.Now().After(deadline) {
			b.t.Fatalf("%s: %v", what, err)
		}
		<-time.After(5 * time.Millisecond)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// without answers is a client that cannot ask about rights.
func (b *bench) withoutAnswers() client.Client {
	b.t.Helper()
	config := rest.CopyConfig(kubetest.Shared(b.t).Config)
	direct, err := client.NewWithWatch(config, client.Options{Scheme: b.admin.Scheme()})
	must(b.t, err)
	return interceptor.NewClient(direct, interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, obj client.Object, opts ...client.CreateOption) error {
			if _, ok := obj.(*authorizationv1.SubjectAccessReview); ok {
				return errors.New("the authorizer does not answer")
			}
			return c.Create(ctx, obj, opts...)
		},
	})
}
