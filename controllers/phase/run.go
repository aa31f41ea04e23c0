package phase

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
)

// findings are what a plan's steps had to say: a condition for each and, last, Ready.
type findings struct {
	conditions []metav1.Condition
	again      time.Duration // 0: not by itself
	err        error         // why to try again
}

// run calls the steps in order. It writes nothing; before holds the object's conditions so far.
func run(ctx context.Context, steps []Step, before []metav1.Condition, generation int64) findings {
	var f findings
	ready := metav1.Condition{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonReady, ObservedGeneration: generation}
	for _, step := range steps {
		o := f.waits(step)
		if o == nil {
			o = call(ctx, step)
		}
		c := o.condition(step, before, generation)
		f.conditions = append(f.conditions, c)
		if o.again > 0 && (f.again == 0 || o.again < f.again) {
			f.again = o.again
		}
		if o.err != nil {
			f.err = errors.Join(f.err, fmt.Errorf("%s: %w", step.Name, o.err))
		}
		if c.Status != metav1.ConditionTrue && !step.Optional && ready.Status == metav1.ConditionTrue {
			ready.Status, ready.Reason = metav1.ConditionFalse, v1alpha1.ReasonNotReady
			ready.Message = shorten(c.Type + " is " + string(c.Status) + ": " + c.Message)
		}
	}
	f.conditions = append(f.conditions, ready)
	return f
}

// waits is the outcome of a step whose needs are not met, or nil.
func (f *findings) waits(step Step) *Outcome {
	var missing []string
	for _, need := range step.Needs {
		if !meta.IsStatusConditionTrue(f.conditions, need) {
			missing = append(missing, need)
		}
	}
	if missing == nil {
		return nil
	}
	o := Unknown(v1alpha1.ReasonPending, "waits for %s", strings.Join(missing, " and "))
	return &o
}

// call runs a step. A panic must not take the other steps, the other objects and the replica with it; but its value may
// hold anything, a credential included, so only a runtime error's text is told.
func call(ctx context.Context, step Step) (o *Outcome) {
	defer func() {
		value := recover()
		if value == nil {
			return
		}
		what := fmt.Sprintf("%T", value)
		var fault runtime.Error
		if err, ok := value.(error); ok && errors.As(err, &fault) {
			what = fault.Error()
		}
		failed := Unknown(v1alpha1.ReasonInternalError, "the operator failed in step %s: this is a mistake in Tidewaiter; its log holds the stack", step.Name)
		failed.err = fmt.Errorf("panic: %s\n%s", what, debug.Stack())
		o = &failed
	}()
	got := step.Run(ctx)
	return &got
}

// condition is the outcome as a condition, without its transition time.
func (o *Outcome) condition(step Step, before []metav1.Condition, generation int64) metav1.Condition {
	if o.err != nil && o.status == "" {
		old := meta.FindStatusCondition(before, step.Condition)
		if old != nil && old.ObservedGeneration == generation {
			return *old
		}
		*o = Outcome{
			err: o.err, again: o.again, status: metav1.ConditionUnknown, reason: v1alpha1.ReasonInternalError,
			message: shorten("the operator could not find out and tries again: " + o.err.Error()),
		}
	}
	if o.status == "" || o.reason == "" { // a step that says nothing has proven nothing
		*o = Outcome{
			again: o.again, status: metav1.ConditionUnknown, reason: v1alpha1.ReasonInternalError,
			message: "the operator's step " + step.Name + " had nothing to say: this is a mistake in Tidewaiter",
		}
	}
	return metav1.Condition{Type: step.Condition, Status: o.status, Reason: o.reason, Message: o.message, ObservedGeneration: generation}
}
