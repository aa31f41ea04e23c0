package phase

import (
	"context"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
)

// FieldOwner owns every status that the operator writes.
const FieldOwner = "tidewaiter-operator"

// The back-off after errors.
const (
	firstRetry = 200 * time.Millisecond
	lastRetry  = time.Minute
)

// quiet is the least time between two writes of an object that change only words and numbers: a thousand sidecars that
// acknowledge one after the other must not be a thousand writes. A changed condition is written at once.
const quiet = time.Second

// Kind says what a kind is.
type Kind[T client.Object] struct {
	GVK schema.GroupVersionKind
	New func() T
	// Status returns where an object keeps what every kind has in its status.
	Status func(T) Status
	// Plan says what to do about an object. The object is the plan's own; its status must not be relied on.
	Plan func(T) Plan[T]
	// Forget is told about an object that is gone. It may be nil.
	Forget func(types.NamespacedName)
}

// Status points to the fields that every kind has.
type Status struct {
	ObservedGeneration *int64
	Conditions         *[]metav1.Condition
}

// Plan is what to do about one object.
type Plan[T client.Object] struct {
	Steps []Step
	// Facts puts into the status what the steps found out beside conditions: every such field, each time. It may be nil.
	Facts func(T)
}

// Clients are what a Runner reads and writes with.
type Clients struct {
	// Cached finds the object; Live is asked once more before a write.
	Cached, Live client.Reader
	Status       client.StatusClient
	Events       events.EventRecorder
	// Transitions counts changed conditions by TransitionLabels. It may be nil.
	Transitions *prometheus.CounterVec
	Now         func() time.Time
}

// Of returns a manager's clients.
func Of(mgr manager.Manager, transitions *prometheus.CounterVec) Clients {
	return Clients{
		Cached: mgr.GetClient(), Live: mgr.GetAPIReader(), Status: mgr.GetClient(),
		Events: mgr.GetEventRecorder(FieldOwner), Transitions: transitions, Now: time.Now,
	}
}

// NewTransitions returns the counter for Clients.Transitions.
func NewTransitions() *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "tidewaiter", Name: "condition_transitions_total", Help: "Conditions that changed their status or reason.",
	}, []string{"kind", "condition", "status", "reason"})
}

// Runner reconciles the objects of a kind. It is safe for concurrent use as long as the kind's plans are.
type Runner[T client.Object] struct {
	kind Kind[T]
	Clients

	mu    sync.Mutex
	wrote map[types.NamespacedName]time.Time // the latest write of each object that there is
}

// NewRunner returns a reconciler.
func NewRunner[T client.Object](kind Kind[T], clients Clients) *Runner[T] {
	return &Runner[T]{kind: kind, Clients: clients, wrote: map[types.NamespacedName]time.Time{}}
}

// Options are the queue's: that many objects at a time, more where steps wait for servers, and a bounded back-off.
func Options(workers int) controller.Options {
	return controller.Options{
		MaxConcurrentReconciles: workers,
		RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](firstRetry, lastRetry),
	}
}

// Reconcile runs the plan of one object and does what follows from it.
func (r *Runner[T]) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	obj := r.kind.New()
	if err := r.Cached.Get(ctx, request.NamespacedName, obj); err != nil {
		if apierrors.IsNotFound(err) {
			r.forget(request.NamespacedName)
		}
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	if !obj.GetDeletionTimestamp().IsZero() {
		return reconcile.Result{}, nil
	}
	plan := r.kind.Plan(obj)
	f := run(ctx, plan.Steps, *r.kind.Status(obj).Conditions, obj.GetGeneration())
	later, err := r.settle(ctx, obj, plan, f)
	switch {
	case err != nil:
		return reconcile.Result{}, err
	case f.err != nil:
		return reconcile.Result{}, f.err
	case later > 0:
		return reconcile.Result{RequeueAfter: later}, nil
	}
	return reconcile.Result{RequeueAfter: jitter(f.again)}, nil
}

func (r *Runner[T]) forget(key types.NamespacedName) {
	r.mu.Lock()
	delete(r.wrote, key)
	r.mu.Unlock()
	if r.kind.Forget != nil {
		r.kind.Forget(key)
	}
}

// settle writes the status if it changed, or says how much later to. A change seen in the cache is judged again by the live
// object, so that a cache that lags behind our own last write neither moves a transition time nor repeats an event.
func (r *Runner[T]) settle(ctx context.Context, obj T, plan Plan[T], f findings) (later time.Duration, err error) {
	seen := r.desired(obj, obj, plan, f)
	if reflect.DeepEqual(r.content(obj), r.content(seen)) {
		return 0, nil
	}
	key := client.ObjectKeyFromObject(obj)
	if later = r.tooSoon(key); later > 0 && !r.turned(obj, seen) {
		return later, nil
	}
	live := r.kind.New()
	if err := r.Live.Get(ctx, key, live); err != nil {
		return 0, client.IgnoreNotFound(err)
	}
	if live.GetUID() != obj.GetUID() || *r.kind.Status(live).ObservedGeneration > obj.GetGeneration() {
		return 0, nil // another object, or already judged by what is newer: its event is on its way
	}
	desired := r.desired(obj, live, plan, f)
	if reflect.DeepEqual(r.content(live), r.content(desired)) {
		return 0, nil
	}
	if err := r.apply(ctx, desired); err != nil {
		return 0, client.IgnoreNotFound(err)
	}
	r.mu.Lock()
	r.wrote[key] = r.Now()
	r.mu.Unlock()
	r.tell(ctx, live, plan.Steps, *r.kind.Status(desired).Conditions)
	return 0, nil
}

// tooSoon says how long the object is not to be written yet.
func (r *Runner[T]) tooSoon(key types.NamespacedName) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	wrote, ok := r.wrote[key]
	if !ok {
		return 0
	}
	return max(0, quiet-r.Now().Sub(wrote))
}

// turned reports whether more than words and numbers differ.
func (r *Runner[T]) turned(before, after T) bool {
	old := *r.kind.Status(before).Conditions
	return *r.kind.Status(before).ObservedGeneration != *r.kind.Status(after).ObservedGeneration ||
		slices.ContainsFunc(*r.kind.Status(after).Conditions, func(c metav1.Condition) bool {
			was := meta.FindStatusCondition(old, c.Type)
			return was == nil || was.Status != c.Status || was.Reason != c.Reason
		})
}

// desired is the object with nothing but its name and the status as it should be; transition times continue from before.
func (r *Runner[T]) desired(obj, before T, plan Plan[T], f findings) T {
	out := r.kind.New()
	out.SetName(obj.GetName())
	out.SetNamespace(obj.GetNamespace())
	out.SetUID(obj.GetUID())
	status := r.kind.Status(out)
	*status.ObservedGeneration = obj.GetGeneration()
	for _, c := range f.conditions {
		c.LastTransitionTime = metav1.NewTime(r.Now().UTC().Truncate(time.Second))
		if old := meta.FindStatusCondition(*r.kind.Status(before).Conditions, c.Type); old != nil && old.Status == c.Status {
			c.LastTransitionTime = old.LastTransitionTime
		}
		*status.Conditions = append(*status.Conditions, c)
	}
	if plan.Facts != nil {
		plan.Facts(out)
	}
	return out
}

// content is an object's status as it is sent and compared; the order of conditions means nothing.
func (r *Runner[T]) content(obj T) map[string]any {
	all, err := runtime.DefaultUnstructuredConverter.ToUnstructured(obj)
	if err != nil {
		return nil // cannot happen with types of ours; a nil status is written as such and refused
	}
	status, _ := all["status"].(map[string]any)
	conditions, _ := status["conditions"].([]any)
	slices.SortFunc(conditions, func(a, b any) int { return strings.Compare(typeOf(a), typeOf(b)) })
	return status
}

func typeOf(condition any) string {
	fields, _ := condition.(map[string]any)
	name, _ := fields["type"].(string)
	return name
}

func (r *Runner[T]) apply(ctx context.Context, desired T) error {
	u := &unstructured.Unstructured{Object: map[string]any{"status": maps.Clone(r.content(desired))}}
	u.SetGroupVersionKind(r.kind.GVK)
	u.SetName(desired.GetName())
	u.SetNamespace(desired.GetNamespace())
	u.SetUID(desired.GetUID()) // never the status of a later object of the same name
	return r.Status.Status().Apply(ctx, client.ApplyConfigurationFromUnstructured(u), client.FieldOwner(FieldOwner), client.ForceOwnership)
}

// tell makes events, log lines and counts of the conditions that changed.
func (r *Runner[T]) tell(ctx context.Context, live T, steps []Step, after []metav1.Condition) {
	for _, c := range after {
		old := meta.FindStatusCondition(*r.kind.Status(live).Conditions, c.Type)
		if old != nil && old.Status == c.Status && old.Reason == c.Reason {
			continue
		}
		log.FromContext(ctx).Info("condition changed", "condition", c.Type, "status", c.Status, "reason", c.Reason, "message", c.Message)
		if r.Transitions != nil {
			r.Transitions.WithLabelValues(r.kind.GVK.Kind, c.Type, string(c.Status), c.Reason).Inc()
		}
		if kind, ok := eventType(old, c); ok {
			r.Events.Eventf(live, nil, kind, c.Reason, actionOf(steps, c.Type), "%s: %s", c.Type, shortNote(c))
		}
	}
}

// eventType says whether a changed condition is worth an event: bad news, the end of bad news, and becoming ready. Not
// being ready is told by the condition that is to blame.
func eventType(old *metav1.Condition, c metav1.Condition) (string, bool) {
	switch {
	case c.Status == metav1.ConditionFalse:
		return corev1.EventTypeWarning, c.Type != v1alpha1.ConditionReady
	case c.Status == metav1.ConditionTrue:
		recovered := old != nil && old.Status == metav1.ConditionFalse
		return corev1.EventTypeNormal, recovered || c.Type == v1alpha1.ConditionReady
	default:
		return corev1.EventTypeWarning, c.Reason == v1alpha1.ReasonInternalError
	}
}

func shortNote(c metav1.Condition) string {
	note := c.Message
	if note == "" {
		note = c.Reason
	}
	if most := maxMessage - len(c.Type) - len(": "); len(note) > most {
		note = strings.ToValidUTF8(note[:most], "")
	}
	return note
}

func actionOf(steps []Step, condition string) string {
	for _, step := range steps {
		if step.Condition == condition {
			return step.Name
		}
	}
	return "Reconcile"
}

// jitter spreads periodic looks, so that objects made together are not looked at together for ever.
func jitter(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return d + time.Duration(rand.Int64N(int64(d)/10+1))
}
