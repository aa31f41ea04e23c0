package accessrequest

import (
	"context"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
)

func TestARequestStaysForAnHourAfterItsEnd(t *testing.T) {
	b := newBench(t)
	r := b.request("expired", "once", b.pod("agent"))
	b.later(15*time.Minute + time.Second)
	if again := b.reconcile(r).RequeueAfter; again < 59*time.Minute || again > time.Hour+time.Minute {
		t.Errorf("looked at again after %s", again)
	}
	b.state(r, v1alpha1.RequestExpired)
	b.later(59 * time.Minute)
	b.reconcile(r)
	b.state(r, v1alpha1.RequestExpired)
	b.later(time.Minute + time.Second)
	if b.reconcile(r); !b.gone(r) {
		t.Error("it is still there")
	}
}

// Removing a request takes back what it has granted.
func TestARequestIsNotOverWhileWhatItGrantedHolds(t *testing.T) {
	b := newBench(t)
	pod := b.pod("agent")
	all := map[string]*v1alpha1.AccessRequest{}
	for _, rule := range []string{"once", "session", "hours"} {
		r := b.request(rule, rule, pod)
		b.decide(r, "alice", v1alpha1.DecisionApprove)
		b.reconcile(r)
		all[rule] = b.state(r, v1alpha1.RequestApproved)
	}
	is := func(when, rule string, want v1alpha1.AccessRequestState) {
		t.Helper()
		b.reconcile(all[rule])
		switch gone := b.gone(all[rule]); {
		case gone && want != "":
			t.Fatalf("%s: the request for rule %s is gone", when, rule)
		case !gone:
			b.state(all[rule], want)
		}
	}
	b.later(75*time.Minute - time.Second) // a statement that comes again may use its approval for 15 minutes, and then it stays for an hour
	is("after 75 minutes", "once", v1alpha1.RequestApproved)
	b.later(2 * time.Second)
	is("after more", "once", "")
	is("after more", "hours", v1alpha1.RequestApproved)
	b.later(45 * time.Minute)
	is("after two hours", "hours", v1alpha1.RequestExpired)
	b.later(61 * time.Minute)
	is("after three hours", "hours", "")
	b.later(48 * time.Hour)
	is("after two days", "session", v1alpha1.RequestApproved)
	must(t, b.admin.Delete(t.Context(), pod, client.GracePeriodSeconds(0)))
	b.eventually("the pod is gone", func() error {
		if err := b.cache.Get(t.Context(), client.ObjectKeyFromObject(pod), &corev1.Pod{}); client.IgnoreNotFound(err) != nil || err == nil {
			return fmt.Errorf("it is there, or: %w", err)
		}
		return nil
	})
	is("without its pod", "session", "")
}

func TestOfAPodsRequestsThatAreOverTheOldestGoWhenThereAreTooMany(t *testing.T) {
	b := newBench(t)
	pod, other := b.pod("agent"), b.pod("other")
	granted := b.request("granted", "hours", pod)
	b.decide(granted, "alice", v1alpha1.DecisionApprove)
	b.reconcile(granted)
	elsewhere := b.request("elsewhere", "once", other)
	must(t, Withdraw(t.Context(), b.admin, client.ObjectKeyFromObject(elsewhere), "the client has gone"))
	var all []*v1alpha1.AccessRequest
	for i := range mostOver + 3 {
		r := b.request(fmt.Sprintf("r-%02d", i), "once", pod)
		b.later(time.Second)
		b.decide(r, "alice", v1alpha1.DecisionDeny)
		b.reconcile(r)
		all = append(all, r)
	}
	for i, r := range all {
		if gone := b.gone(r); gone != (i < 3) {
			t.Errorf("request %d is gone: %t", i, gone)
		}
	}
	b.state(granted, v1alpha1.RequestApproved)
	b.state(elsewhere, v1alpha1.RequestWithdrawn)
}

func TestWhoWaitsNoLongerWithdraws(t *testing.T) {
	b := newBench(t)
	r := b.request("r", "once", b.pod("agent"))
	key := client.ObjectKeyFromObject(r)
	must(t, Withdraw(t.Context(), b.admin, key, "the client has gone"))
	got := b.state(r, v1alpha1.RequestWithdrawn)
	if got.Status.ClosedAt == nil || got.Status.Missing != "" || len(got.Status.Conditions) != 2 || got.Status.Conditions[1].Message != "the client has gone" {
		t.Errorf("status %+v", got.Status)
	}
	must(t, Withdraw(t.Context(), b.admin, key, "once more"))
	if again := b.state(r, v1alpha1.RequestWithdrawn); again.ResourceVersion != got.ResourceVersion {
		t.Error("it was written again")
	}
	must(t, Withdraw(t.Context(), b.admin, types.NamespacedName{Namespace: b.namespace, Name: "none"}, "gone"))

	approved := b.request("s", "once", b.pod("another"))
	b.decide(approved, "alice", v1alpha1.DecisionApprove)
	b.reconcile(approved)
	must(t, Withdraw(t.Context(), b.admin, client.ObjectKeyFromObject(approved), "the client has gone"))
	b.state(approved, v1alpha1.RequestApproved)
}

// frozen reads a request as it was.
type frozen struct {
	client.Reader
	was *v1alpha1.AccessRequest
}

func (f frozen) Get(ctx context.Context, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
	if r, ok := obj.(*v1alpha1.AccessRequest); ok {
		f.was.DeepCopyInto(r)
		return nil
	}
	return f.Reader.Get(ctx, key, obj, opts...)
}

func TestAReplicaThatIsBehindDoesNotApproveWhatWasWithdrawn(t *testing.T) {
	b := newBench(t)
	r := b.request("r", "once", b.pod("agent"))
	was := b.state(r, v1alpha1.RequestPending)
	b.decide(r, "alice", v1alpha1.DecisionApprove)
	must(t, Withdraw(t.Context(), b.admin, client.ObjectKeyFromObject(r), "the client has gone"))
	b.Cached = frozen{b.cache, was}
	result, err := b.Reconcile(t.Context(), reconcile.Request{NamespacedName: client.ObjectKeyFromObject(r)})
	if err != nil || result.RequeueAfter != soon {
		t.Errorf("%v, %v", result, err)
	}
	b.state(r, v1alpha1.RequestWithdrawn)
}

// A policy is read once more from the API server before it is concluded from it what cannot be undone.
func TestAReplicaThatHasNotSeenThePolicyYetDoesNotWithdraw(t *testing.T) {
	b := newBench(t)
	b.Cached = without{b.cache}
	b.request("r", "once", b.pod("agent"))
}

// without reads no policy.
type without struct{ client.Reader }

func (w without) Get(ctx context.Context, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
	if _, ok := obj.(*v1alpha1.AccessPolicy); ok {
		key.Name = "none"
	}
	return w.Reader.Get(ctx, key, obj, opts...)
}

func TestNobodyDecidesWhileNobodyCanBeAskedAboutRights(t *testing.T) {
	b := newBench(t)
	for _, kind := range []v1alpha1.DecisionKind{v1alpha1.DecisionApprove, v1alpha1.DecisionDeny} {
		r := b.request("r-"+map[v1alpha1.DecisionKind]string{v1alpha1.DecisionApprove: "a", v1alpha1.DecisionDeny: "d"}[kind], "once", b.pod("agent-"+string(kind[0]|0x20)))
		b.decide(r, "alice", kind)
		answering := b.writer
		b.writer = b.withoutAnswers()
		if _, err := b.Reconcile(t.Context(), reconcile.Request{NamespacedName: client.ObjectKeyFromObject(r)}); err == nil {
			t.Error("no error, so that nobody tries again")
		}
		if got := b.state(r, v1alpha1.RequestPending); len(got.Status.Decisions) != 0 {
			t.Errorf("status %+v", got.Status)
		}
		b.writer = answering
		b.reconcile(r)
		b.state(r, map[v1alpha1.DecisionKind]v1alpha1.AccessRequestState{v1alpha1.DecisionApprove: v1alpha1.RequestApproved, v1alpha1.DecisionDeny: v1alpha1.RequestDenied}[kind])
	}
}
