package approvals

import (
	"context"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	sidecarv1alpha1 "github.com/tidewaiter/tidewaiter/api/sidecar/v1alpha1"
	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
)

// Bounds of what a client is told.
const (
	maxBy     = 10
	maxUser   = 512
	maxReason = 1 << 10
)

type outcome = sidecarv1alpha1.ApprovalOutcome

const (
	outcomeApproved  = sidecarv1alpha1.ApprovalOutcome_APPROVAL_OUTCOME_APPROVED
	outcomeDenied    = sidecarv1alpha1.ApprovalOutcome_APPROVAL_OUTCOME_DENIED
	outcomeExpired   = sidecarv1alpha1.ApprovalOutcome_APPROVAL_OUTCOME_EXPIRED
	outcomeWithdrawn = sidecarv1alpha1.ApprovalOutcome_APPROVAL_OUTCOME_WITHDRAWN
	outcomeRefused   = sidecarv1alpha1.ApprovalOutcome_APPROVAL_OUTCOME_REFUSED
)

// outcomeOf is how a request was answered, and the condition that says why; false while it is open.
func outcomeOf(r *v1alpha1.AccessRequest, now time.Time) (outcome, string, bool) {
	if r.DeletionTimestamp != nil {
		return outcomeWithdrawn, v1alpha1.ConditionWithdrawn, true
	}
	switch r.Status.State {
	case "", v1alpha1.RequestPending:
		return 0, "", false
	case v1alpha1.RequestApproved:
		if !now.Before(r.Spec.ExpiresAt.Time) { // void, approved or not
			return outcomeExpired, v1alpha1.ConditionExpired, true
		}
		return outcomeApproved, v1alpha1.ConditionApproved, true
	case v1alpha1.RequestExpired:
		return outcomeExpired, v1alpha1.ConditionExpired, true
	case v1alpha1.RequestWithdrawn:
		return outcomeWithdrawn, v1alpha1.ConditionWithdrawn, true
	case v1alpha1.RequestRevoked:
		return outcomeDenied, v1alpha1.ConditionRevoked, true
	default:
		return outcomeDenied, v1alpha1.ConditionDenied, true
	}
}

// answerOf words the answer to a request that is over.
func (d *Desk) answerOf(hold string, r *v1alpha1.AccessRequest, out outcome, condition string) *sidecarv1alpha1.ApprovalAnswer {
	a := &sidecarv1alpha1.ApprovalAnswer{Hold: hold, Name: r.Name, Outcome: out}
	var words []string
	for i := range r.Status.Decisions {
		w := &r.Status.Decisions[i]
		if w.Refused != "" || !counts(w.Decision, out) || len(a.By) >= maxBy {
			continue
		}
		if by := clip(w.By, maxUser); !slices.Contains(a.By, by) {
			a.By = append(a.By, by)
		}
		if reason := d.reasonOf(r, w); reason != "" {
			words = append(words, reason)
		}
	}
	a.Reason = clip(strings.Join(words, "; "), maxReason)
	if c := meta.FindStatusCondition(r.Status.Conditions, condition); a.Reason == "" && c != nil && out != outcomeApproved {
		a.Reason = clip(c.Message, maxReason)
	}
	if a.Reason == "" && out == outcomeExpired {
		a.Reason = "nobody answered in time"
	}
	return a
}

// counts reports whether a decision is one of those that made the outcome.
func counts(kind v1alpha1.DecisionKind, out outcome) bool {
	approves := kind == v1alpha1.DecisionApprove || kind == v1alpha1.DecisionBreakGlass
	return out == outcomeApproved && approves || out == outcomeDenied && !approves
}

// reasonOf are the words of who decided. The cache may not have them yet: an answer does not wait for words.
func (d *Desk) reasonOf(r *v1alpha1.AccessRequest, w *v1alpha1.WeighedDecision) string {
	var decision v1alpha1.AccessDecision
	key := types.NamespacedName{Namespace: r.Namespace, Name: string(w.Name)}
	err := d.o.Cache.Get(context.Background(), key, &decision, client.UnsafeDisableDeepCopy)
	if err != nil || string(decision.Spec.RequestRef.Name) != r.Name {
		return ""
	}
	return decision.Spec.Reason
}

func refused(hold, reason string) *sidecarv1alpha1.ConnectResponse {
	return answer(&sidecarv1alpha1.ApprovalAnswer{Hold: clip(hold, maxWord), Outcome: outcomeRefused, Reason: clip(reason, maxReason)})
}

func answer(a *sidecarv1alpha1.ApprovalAnswer) *sidecarv1alpha1.ConnectResponse {
	return &sidecarv1alpha1.ConnectResponse{Message: &sidecarv1alpha1.ConnectResponse_Answer{Answer: a}}
}

func pending(hold, name string, expires time.Time) *sidecarv1alpha1.ConnectResponse {
	return &sidecarv1alpha1.ConnectResponse{Message: &sidecarv1alpha1.ConnectResponse_Pending{
		Pending: &sidecarv1alpha1.ApprovalPending{Hold: hold, Name: name, ExpiresAt: timestamppb.New(expires)},
	}}
}

func grantEnd(name string) *sidecarv1alpha1.ConnectResponse {
	return &sidecarv1alpha1.ConnectResponse{Message: &sidecarv1alpha1.ConnectResponse_GrantEnd{GrantEnd: &sidecarv1alpha1.GrantEnd{Name: name}}}
}
