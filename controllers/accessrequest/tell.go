package accessrequest

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/approval"
)

// outcome is how a state is told.
type outcome struct{ condition, level, action string }

var outcomes = map[v1alpha1.AccessRequestState]outcome{
	v1alpha1.RequestApproved:  {v1alpha1.ConditionApproved, corev1.EventTypeNormal, "Approve"},
	v1alpha1.RequestDenied:    {v1alpha1.ConditionDenied, corev1.EventTypeWarning, "Deny"},
	v1alpha1.RequestExpired:   {v1alpha1.ConditionExpired, corev1.EventTypeNormal, "Expire"},
	v1alpha1.RequestWithdrawn: {v1alpha1.ConditionWithdrawn, corev1.EventTypeNormal, "Withdraw"},
	v1alpha1.RequestRevoked:   {v1alpha1.ConditionRevoked, corev1.EventTypeWarning, "Revoke"},
}

// withdrawn tells of a withdrawal, whichever replica has written it: the leader sees it in its watch.
func (r *Reconciler) withdrawn() handler.Funcs {
	return handler.Funcs{UpdateFunc: func(ctx context.Context, e event.UpdateEvent, _ workqueue.TypedRateLimitingInterface[reconcile.Request]) {
		before, _ := e.ObjectOld.(*v1alpha1.AccessRequest)
		after, _ := e.ObjectNew.(*v1alpha1.AccessRequest)
		if before != nil && after != nil && after.Status.State == v1alpha1.RequestWithdrawn && before.Status.State != v1alpha1.RequestWithdrawn {
			r.end(ctx, after)
		}
	}}
}

// tell makes events, log lines and counts of what Reconcile has written, but for withdrawals.
func (r *Reconciler) tell(ctx context.Context, before, after *v1alpha1.AccessRequest) {
	state := after.Status.State
	if state == v1alpha1.RequestWithdrawn {
		return
	}
	if state == before.Status.State {
		if state == v1alpha1.RequestPending && after.Status.Missing != before.Status.Missing {
			r.Events.Eventf(after, nil, corev1.EventTypeNormal, v1alpha1.ReasonPending, "Weigh", "it still needs %s", after.Status.Missing)
		}
		return
	}
	if state == v1alpha1.RequestPending {
		r.announce(after, corev1.EventTypeNormal, v1alpha1.ReasonRequested, "Request", "rule "+after.Spec.Rule+" of AccessPolicy "+
			string(after.Spec.Policy)+" asks people about: "+what(after)+"; needed: "+after.Status.Missing)
		return
	}
	r.end(ctx, after)
}

// end tells how a request has ended, or that it was approved.
func (r *Reconciler) end(ctx context.Context, after *v1alpha1.AccessRequest) {
	state := after.Status.State
	how, ok := outcomes[state]
	condition := meta.FindStatusCondition(after.Status.Conditions, how.condition)
	if !ok || condition == nil {
		return
	}
	log.FromContext(ctx).Info("condition changed", "condition", condition.Type, "status", condition.Status, "reason", condition.Reason, "message", condition.Message)
	if r.Transitions != nil {
		r.Transitions.WithLabelValues("AccessRequest", condition.Type, string(condition.Status), condition.Reason).Inc()
	}
	if condition.Reason == v1alpha1.ReasonBrokenGlass {
		r.alarm(after, condition.Message)
		return
	}
	note := string(state) + ": " + condition.Message
	switch state {
	case v1alpha1.RequestApproved, v1alpha1.RequestDenied, v1alpha1.RequestRevoked:
		note = string(state) + " by " + condition.Message
	}
	r.announce(after, how.level, condition.Reason, how.action, note)
}

// alarm tells wherever it can be seen that one person has answered alone.
func (r *Reconciler) alarm(request *v1alpha1.AccessRequest, by string) {
	note := "Approved by one person alone, in an emergency: " + by + " (" + what(request) + ")"
	r.announce(request, corev1.EventTypeWarning, v1alpha1.ReasonBrokenGlass, "BreakGlass", note)
	for _, name := range approval.Names(&request.Spec) {
		policy := &v1alpha1.AccessPolicy{}
		if err := r.Cached.Get(context.Background(), client.ObjectKey{Namespace: request.Namespace, Name: string(name)}, policy); err != nil {
			policy.ObjectMeta = metav1.ObjectMeta{Namespace: request.Namespace, Name: string(name)} // an event all the same
		}
		say(r.Events, policy, request, corev1.EventTypeWarning, v1alpha1.ReasonBrokenGlass, "BreakGlass", note)
	}
}

// announce makes an event of the request, and of the pod that waits.
func (r *Reconciler) announce(request *v1alpha1.AccessRequest, level, reason, action, note string) {
	say(r.Events, request, nil, level, reason, action, note)
	if ref := request.Spec.Requester.Pod; ref != nil {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
			Namespace: request.Spec.Requester.Namespace, Name: string(ref.Name), UID: types.UID(ref.UID),
		}}
		say(r.Events, pod, request, level, reason, action, "AccessRequest "+request.Namespace+"/"+request.Name+": "+note)
	}
}

// say makes an event of at most 1,024 bytes, which is what the API server takes.
func say(to events.EventRecorder, of, related client.Object, level, reason, action, text string) {
	text = approval.Shorten(text, 1024)
	if related == nil {
		to.Eventf(of, nil, level, reason, action, "%s", text)
		return
	}
	to.Eventf(of, related, level, reason, action, "%s", text)
}

// what is asked for.
func what(request *v1alpha1.AccessRequest) string {
	if request.Spec.Summary != "" {
		return request.Spec.Summary
	}
	if request.Spec.Statement != nil {
		return approval.Shorten(request.Spec.Statement.Text, 256)
	}
	return approval.Summary(request.Spec.Access)
}
