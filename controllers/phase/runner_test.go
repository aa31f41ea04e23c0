package phase

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
)

var request = reconcile.Request{NamespacedName: types.NamespacedName{Namespace: "data", Name: "orders"}}

// bench is a runner on a client in memory, with a plan that tests set.
type bench struct {
	t      *testing.T
	client client.Client
	runner *Runner[*v1alpha1.DataSource]
	events *events.FakeRecorder
	plan   Plan[*v1alpha1.DataSource]
	now    time.Time
	writes int
	gone   []types.NamespacedName
}

func newBench(t *testing.T) *bench {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, events: events.NewFakeRecorder(32), now: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)}
	ds := &v1alpha1.DataSource{ObjectMeta: metav1.ObjectMeta{Namespace: "data", Name: "orders", UID: "u1", Generation: 1}}
	b.client = fake.NewClientBuilder().WithScheme(scheme).WithObjects(ds).WithStatusSubresource(ds).WithInterceptorFuncs(interceptor.Funcs{
		SubResourceApply: func(ctx context.Context, c client.Client, sub string, obj runtime.ApplyConfiguration, opts ...client.SubResourceApplyOption) error {
			b.writes++
			return c.SubResource(sub).Apply(ctx, obj, opts...)
		},
	}).Build()
	b.runner = NewRunner(Kind[*v1alpha1.DataSource]{
		GVK: v1alpha1.GroupVersion.WithKind("DataSource"),
		New: func() *v1alpha1.DataSource { return &v1alpha1.DataSource{} },
		Status: func(ds *v1alpha1.DataSource) Status {
			return Status{&ds.Status.ObservedGeneration, &ds.Status.Conditions}
		},
		Plan:   func(*v1alpha1.DataSource) Plan[*v1alpha1.DataSource] { return b.plan },
		Forget: func(key types.NamespacedName) { b.gone = append(b.gone, key) },
	}, Clients{
		Cached: b.client, Live: b.client, Status: b.client, Events: b.events,
		Transitions: NewTransitions(), Now: func() time.Time { return b.now },
	})
	return b
}

// reconcile runs the steps once and returns the object as it is then.
func (b *bench) reconcile(steps ...Step) (*v1alpha1.DataSource, reconcile.Result, error) {
	b.t.Helper()
	b.plan.Steps = steps
	result, err := b.runner.Reconcile(b.t.Context(), request)
	var ds v1alpha1.DataSource
	if err := b.client.Get(b.t.Context(), request.NamespacedName, &ds); err != nil {
		b.t.Fatal(err)
	}
	return &ds, result, err
}

func (b *bench) wantEvents(want ...string) {
	b.t.Helper()
	var got []string
	for len(b.events.Events) > 0 {
		got = append(got, <-b.events.Events)
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		b.t.Errorf("events\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestStatusIsWrittenOnAChangeAndNotOtherwise(t *testing.T) {
	b := newBench(t)
	b.plan.Facts = func(ds *v1alpha1.DataSource) {
		ds.Status.Classified = &v1alpha1.ClassifiedColumns{Columns: 4, Summary: "4 columns"}
	}
	fine := []Step{says(accepted, True("Fine", "")), says(resolved, True("Fine", "").Again(time.Minute))}
	ds, result, err := b.reconcile(fine...)
	if err != nil || !meta.IsStatusConditionTrue(ds.Status.Conditions, ready) || ds.Status.ObservedGeneration != 1 || ds.Status.Classified.Columns != 4 {
		t.Fatalf("%+v, %v", ds.Status, err)
	}
	if result.RequeueAfter < time.Minute || result.RequeueAfter > 70*time.Second {
		t.Errorf("again after %s", result.RequeueAfter)
	}
	b.wantEvents("Normal Ready Ready: Ready")
	since := ds.Status.Conditions[0].LastTransitionTime
	if !since.Time.Equal(b.now.Truncate(time.Second)) {
		t.Errorf("transition at %s", since)
	}

	b.now = b.now.Add(time.Hour)
	for range 3 {
		if _, _, err := b.reconcile(fine...); err != nil {
			t.Fatal(err)
		}
	}
	if b.writes != 1 {
		t.Errorf("%d writes", b.writes)
	}
	b.wantEvents()

	b.now = b.now.Add(time.Hour)
	ds, _, _ = b.reconcile(says(accepted, True("Better", "")), fine[1])
	c := meta.FindStatusCondition(ds.Status.Conditions, accepted)
	if b.writes != 2 || c.Reason != "Better" || !c.LastTransitionTime.Time.Equal(since.Time) {
		t.Errorf("%d writes, %s since %s: a reason is no transition", b.writes, c.Reason, c.LastTransitionTime)
	}
}

func TestWordsAndNumbersAreWrittenOnceASecondAndConditionsAtOnce(t *testing.T) {
	b := newBench(t)
	for i := range 100 {
		_, result, err := b.reconcile(says(accepted, False("Waiting", "%d of 100", i)))
		if err != nil {
			t.Fatal(err)
		}
		if i > 0 && (result.RequeueAfter <= 0 || result.RequeueAfter > quiet) {
			t.Fatalf("looks again after %s", result.RequeueAfter)
		}
		b.now = b.now.Add(10 * time.Millisecond)
	}
	if b.writes != 1 {
		t.Errorf("%d writes within a second", b.writes)
	}
	ds, _, _ := b.reconcile(says(accepted, False("Waiting", "99 of 100")))
	if c := meta.FindStatusCondition(ds.Status.Conditions, accepted); b.writes != 2 || c.Message != "99 of 100" {
		t.Errorf("%d writes, and it says %q", b.writes, c.Message)
	}
	b.reconcile(says(accepted, True("Fine", "all of 100")))
	if b.writes != 3 {
		t.Errorf("%d writes: a changed condition waits", b.writes)
	}
}

func TestBadNewsItsEndAndReadinessAreEvents(t *testing.T) {
	b := newBench(t)
	fine, bad := says(accepted, True("Fine", "all is well")), says(accepted, False("Invalid", "spec.x: 7 is no x: write one"))
	b.reconcile(fine)
	b.wantEvents("Normal Ready Ready: Ready")
	for range 2 {
		b.reconcile(bad)
	}
	b.wantEvents("Warning Invalid Accepted: spec.x: 7 is no x: write one")
	b.now = b.now.Add(time.Minute)
	ds, _, _ := b.reconcile(fine)
	b.wantEvents("Normal Fine Accepted: all is well", "Normal Ready Ready: Ready")
	if c := meta.FindStatusCondition(ds.Status.Conditions, accepted); !c.LastTransitionTime.Time.Equal(b.now.Truncate(time.Second)) {
		t.Errorf("transition at %s", c.LastTransitionTime)
	}
	if n := testutil.ToFloat64(b.runner.Transitions.WithLabelValues("DataSource", "Accepted", "False", "Invalid")); n != 1 {
		t.Errorf("%v transitions counted", n)
	}
}

func TestAnErrorIsTriedAgainByTheQueueAndStatusIsWrittenAllTheSame(t *testing.T) {
	b := newBench(t)
	ds, result, err := b.reconcile(says(accepted, True("Fine", "")), says(resolved, Retry(errors.New("away")).Again(time.Hour)))
	if err == nil || result.RequeueAfter != 0 {
		t.Errorf("%v, %+v", err, result)
	}
	if !meta.IsStatusConditionTrue(ds.Status.Conditions, accepted) {
		t.Error(show(ds.Status.Conditions))
	}
}

// A cache that lags shows the object as it was before our own write.
func TestACacheThatLagsRepeatsNothing(t *testing.T) {
	b := newBench(t)
	var stale v1alpha1.DataSource
	if err := b.client.Get(t.Context(), request.NamespacedName, &stale); err != nil {
		t.Fatal(err)
	}
	fine := says(accepted, True("Fine", ""))
	b.reconcile(fine)
	b.wantEvents("Normal Ready Ready: Ready")
	b.runner.Cached = frozen{b.client, &stale}
	b.now = b.now.Add(time.Hour)
	b.reconcile(fine)
	b.wantEvents()
	if b.writes != 1 {
		t.Errorf("%d writes", b.writes)
	}
}

func TestAnotherObjectOfTheSameNameGetsNoStatus(t *testing.T) {
	b := newBench(t)
	var old v1alpha1.DataSource
	if err := b.client.Get(t.Context(), request.NamespacedName, &old); err != nil {
		t.Fatal(err)
	}
	old.UID = "u0"
	b.runner.Cached = frozen{b.client, &old}
	if ds, _, err := b.reconcile(says(accepted, True("Fine", ""))); err != nil || b.writes != 0 || ds.Status.Conditions != nil {
		t.Errorf("%d writes, %v", b.writes, err)
	}
}

func TestTheStatusOfANewerGenerationIsNotOverwritten(t *testing.T) {
	b := newBench(t)
	var ds v1alpha1.DataSource
	if err := b.client.Get(t.Context(), request.NamespacedName, &ds); err != nil {
		t.Fatal(err)
	}
	stale := ds.DeepCopy()
	ds.Status.ObservedGeneration = 2
	if err := b.client.Status().Update(t.Context(), &ds); err != nil {
		t.Fatal(err)
	}
	b.runner.Cached = frozen{b.client, stale}
	if _, _, err := b.reconcile(says(accepted, True("Fine", ""))); err != nil || b.writes != 0 {
		t.Errorf("%d writes, %v", b.writes, err)
	}
}

func TestAnObjectThatIsGoneIsForgotten(t *testing.T) {
	b := newBench(t)
	other := reconcile.Request{NamespacedName: types.NamespacedName{Namespace: "data", Name: "other"}}
	if result, err := b.runner.Reconcile(t.Context(), other); err != nil || !result.IsZero() || len(b.gone) != 1 || b.gone[0] != other.NamespacedName {
		t.Errorf("%v, %v, %v", result, err, b.gone)
	}
}

// frozen is a cache that holds one object as it was.
type frozen struct {
	client.Reader
	obj *v1alpha1.DataSource
}

func (f frozen) Get(_ context.Context, _ client.ObjectKey, out client.Object, _ ...client.GetOption) error {
	f.obj.DeepCopyInto(out.(*v1alpha1.DataSource))
	return nil
}
