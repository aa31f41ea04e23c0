package approval

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
)

// Most of what one request is weighed by. Who has the verb could make more, and deny instead.
const (
	// MostDecisions is how many decisions of a kind are taken into account, the oldest.
	MostDecisions = 64
	listed        = 32 // in status
)

// Case is everything that a request is weighed by.
type Case struct {
	// Request with its status so far. It is not changed.
	Request *v1alpha1.AccessRequest
	// Decisions that name the request, in any order.
	Decisions []v1alpha1.AccessDecision
	// Policies as they are now.
	Policies Policies
	// Allowed answers whether somebody has a verb on an AccessPolicy of the request's namespace. It is asked for what counts
	// alone. Where nobody could be asked, the answer is no, and the outcome must not be used.
	Allowed func(by *v1alpha1.Decider, policy v1alpha1.ObjectName, verb string) bool
	// Now is the time.
	Now time.Time
}

// Weigh says what the request's status is to be. The ends are final, but for one: what was approved can be revoked by a
// Deny, and ends when its time is over. What a request was approved by is not weighed again.
func (c *Case) Weigh() v1alpha1.AccessRequestStatus {
	status := *c.Request.Status.DeepCopy()
	c.sort()
	switch {
	case Open(status.State):
		c.open(&status)
	case status.State == v1alpha1.RequestApproved:
		c.approved(&status)
	}
	return status
}

// sort puts decisions in the order in which they came. The API server's times are whole seconds: within one, what was weighed
// before came before, and names decide only about what came together.
func (c *Case) sort() {
	weighed := map[string]int{}
	for i, d := range c.Request.Status.Decisions {
		weighed[string(d.Name)] = i - len(c.Request.Status.Decisions)
	}
	slices.SortFunc(c.Decisions, func(a, b v1alpha1.AccessDecision) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(weighed[a.Name], weighed[b.Name]), cmp.Compare(a.Name, b.Name))
	})
}

// Next is when a request is to be weighed again if nothing happens, or zero.
func Next(request *v1alpha1.AccessRequest) time.Time {
	switch {
	case Open(request.Status.State):
		return request.Spec.ExpiresAt.Time
	case request.Status.State == v1alpha1.RequestApproved && request.Status.GrantedUntil != nil:
		return request.Status.GrantedUntil.Time
	}
	return time.Time{}
}

// open weighs a request that has no answer yet. Of several ends the safest comes first.
func (c *Case) open(status *v1alpha1.AccessRequestStatus) {
	status.Decisions, status.Missing = nil, ""
	terms, void := TermsOf(&c.Request.Spec, c.Policies)
	if void != nil {
		Withdraw(status, v1alpha1.ReasonRuleGone, void.Error(), c.Now)
		return
	}
	if !c.Now.Before(c.Request.Spec.ExpiresAt.Time) {
		missing := fmt.Sprintf("not enough approvals by %s", c.Request.Spec.ExpiresAt.UTC().Format(time.RFC3339))
		c.end(status, v1alpha1.RequestExpired, v1alpha1.ConditionExpired, v1alpha1.ReasonExpired, missing)
		return
	}
	if denied := c.denied(status); denied != nil {
		c.end(status, v1alpha1.RequestDenied, v1alpha1.ConditionDenied, v1alpha1.ReasonDenied, said(denied))
		return
	}
	if glass := c.broken(status, &terms); glass != nil {
		c.condition(status, v1alpha1.ConditionBrokenGlass, metav1.ConditionTrue, v1alpha1.ReasonBrokenGlass, said(glass))
		c.approve(status, &terms, v1alpha1.ReasonBrokenGlass, said(glass))
		return
	}
	approvers := c.approvers(status, &terms)
	if status.Missing = missing(approvers, &terms); status.Missing != "" {
		status.State = v1alpha1.RequestPending
		c.condition(status, v1alpha1.ConditionApproved, metav1.ConditionFalse, v1alpha1.ReasonPending, "it still needs "+status.Missing)
		return
	}
	var words []string
	for _, d := range approvers {
		words = append(words, said(d))
	}
	c.approve(status, &terms, v1alpha1.ReasonApproved, strings.Join(words, "; "))
}

// approved looks whether something ends what was granted. Of decisions, a Deny alone does.
func (c *Case) approved(status *v1alpha1.AccessRequestStatus) {
	if status.GrantedUntil != nil && !c.Now.Before(status.GrantedUntil.Time) {
		c.end(status, v1alpha1.RequestExpired, v1alpha1.ConditionExpired, v1alpha1.ReasonGrantEnded,
			"what was granted has ended at "+status.GrantedUntil.UTC().Format(time.RFC3339))
		return
	}
	before := status.Decisions
	status.Decisions = nil
	denied := c.denied(status)
	status.Decisions = fit(append(before, slices.DeleteFunc(status.Decisions, func(d v1alpha1.WeighedDecision) bool {
		return slices.ContainsFunc(before, func(b v1alpha1.WeighedDecision) bool { return b.Name == d.Name })
	})...))
	if denied != nil {
		c.end(status, v1alpha1.RequestRevoked, v1alpha1.ConditionRevoked, v1alpha1.ReasonRevoked, said(denied))
	}
}

// approve grants what the terms say.
func (c *Case) approve(status *v1alpha1.AccessRequestStatus, terms *Terms, reason, message string) {
	now := metav1.NewTime(c.Now)
	status.State, status.Missing, status.GrantedAt, status.ClosedAt = v1alpha1.RequestApproved, "", &now, &now
	if terms.For > 0 {
		until := metav1.NewTime(c.Now.Add(terms.For))
		status.GrantedUntil = &until
	}
	c.condition(status, v1alpha1.ConditionApproved, metav1.ConditionTrue, reason, message)
}

func (c *Case) end(status *v1alpha1.AccessRequestStatus, state v1alpha1.AccessRequestState, condition, reason, message string) {
	end(status, state, condition, reason, message, c.Now)
}

func (c *Case) condition(status *v1alpha1.AccessRequestStatus, condition string, is metav1.ConditionStatus, reason, message string) {
	set(status, condition, is, reason, message, c.Now)
}

// Withdraw ends a request that nobody waits for any longer, with why. It reports whether there was something to end: an
// approval for one statement stays what it is, and so does one for a time, which is for others of the workload as well.
func Withdraw(status *v1alpha1.AccessRequestStatus, reason, message string, now time.Time) bool {
	if !Open(status.State) {
		return false
	}
	status.Missing = ""
	end(status, v1alpha1.RequestWithdrawn, v1alpha1.ConditionWithdrawn, reason, message, now)
	return true
}

// end makes a request be over: the condition says how, and Approved is False.
func end(status *v1alpha1.AccessRequestStatus, state v1alpha1.AccessRequestState, condition, reason, message string, now time.Time) {
	at := metav1.NewTime(now)
	status.State, status.ClosedAt = state, &at
	set(status, condition, metav1.ConditionTrue, reason, message, now)
	set(status, v1alpha1.ConditionApproved, metav1.ConditionFalse, reason, message, now)
}

func set(status *v1alpha1.AccessRequestStatus, condition string, is metav1.ConditionStatus, reason, message string, now time.Time) {
	meta.SetStatusCondition(&status.Conditions, metav1.Condition{
		Type: condition, Status: is, Reason: reason, Message: Shorten(message, 1024), LastTransitionTime: metav1.NewTime(now),
	})
}

// denied is the oldest Deny that counts. What kind a decision is that this version does not know, it denies.
func (c *Case) denied(status *v1alpha1.AccessRequestStatus) *v1alpha1.AccessDecision {
	return c.first(status, v1alpha1.VerbApprove, func(d *v1alpha1.AccessDecision) bool {
		return d.Spec.Decision != v1alpha1.DecisionApprove && d.Spec.Decision != v1alpha1.DecisionBreakGlass
	}, func(*v1alpha1.AccessDecision) error { return nil })
}

// broken is the oldest BreakGlass that counts.
func (c *Case) broken(status *v1alpha1.AccessRequestStatus, terms *Terms) *v1alpha1.AccessDecision {
	return c.first(status, v1alpha1.VerbBreakGlass, func(d *v1alpha1.AccessDecision) bool {
		return d.Spec.Decision == v1alpha1.DecisionBreakGlass
	}, func(d *v1alpha1.AccessDecision) error {
		switch {
		case !terms.BreakGlass:
			return errors.New("no BreakGlass here: the rule's approval.breakGlass is Never")
		case strings.TrimSpace(d.Spec.Reason) == "":
			return errors.New("breaking the glass needs a reason")
		}
		return c.inTime(d)
	})
}

// first finds the oldest decision of a kind that counts; all that were looked at are listed.
func (c *Case) first(status *v1alpha1.AccessRequestStatus, verb string, is func(*v1alpha1.AccessDecision) bool, check func(*v1alpha1.AccessDecision) error) *v1alpha1.AccessDecision {
	seen := 0
	for i := range c.Decisions {
		d := &c.Decisions[i]
		if !is(d) {
			continue
		}
		if seen++; seen > MostDecisions {
			break
		}
		err := check(d)
		if err == nil {
			err = c.mayDecide(d, verb)
		}
		list(status, d, err)
		if err == nil {
			return d
		}
	}
	return nil
}

// approvers are the decisions that count as approvals, of different people.
func (c *Case) approvers(status *v1alpha1.AccessRequestStatus, terms *Terms) []*v1alpha1.AccessDecision {
	var out []*v1alpha1.AccessDecision
	seen := 0
	for i := range c.Decisions {
		d := &c.Decisions[i]
		if d.Spec.Decision != v1alpha1.DecisionApprove {
			continue
		}
		if seen++; seen > MostDecisions {
			break
		}
		err := c.approves(d, terms, out)
		list(status, d, err)
		if err == nil {
			out = append(out, d)
		}
	}
	return out
}

// approves says why a decision is no approval beside those that count already.
func (c *Case) approves(d *v1alpha1.AccessDecision, terms *Terms, others []*v1alpha1.AccessDecision) error {
	if err := c.inTime(d); err != nil {
		return err
	}
	if by := d.Spec.DecidedBy; by != nil {
		for _, other := range others {
			if other.Spec.DecidedBy.Username == by.Username {
				return fmt.Errorf("%s has approved already, with %s: a person counts once", by.Username, other.Name)
			}
		}
		if err := terms.InGroups(by); err != nil {
			return err
		}
	}
	return c.mayDecide(d, v1alpha1.VerbApprove)
}

func (c *Case) inTime(d *v1alpha1.AccessDecision) error {
	if !d.CreationTimestamp.Before(&c.Request.Spec.ExpiresAt) {
		return errors.New("it came after spec.expiresAt of the AccessRequest")
	}
	return nil
}

// mayDecide says why a decision counts for nothing, whoever asks about rights last: that is what costs.
func (c *Case) mayDecide(d *v1alpha1.AccessDecision, verb string) error {
	by, ref, spec := d.Spec.DecidedBy, &d.Spec.RequestRef, &c.Request.Spec
	switch {
	case by == nil || by.Username == "":
		return errors.New("spec.decidedBy is empty, so that nobody knows whose it is: create it through admission")
	case d.Namespace != c.Request.Namespace || string(ref.Name) != c.Request.Name || ref.UID != string(c.Request.UID):
		return errors.New("spec.requestRef is another AccessRequest")
	case ref.Digest != Digest(spec):
		return errors.New("spec.requestRef.digest: the statement is another one than was read")
	case !d.DeletionTimestamp.IsZero():
		return errors.New("it is being deleted")
	}
	if d.Spec.Decision == v1alpha1.DecisionApprove || d.Spec.Decision == v1alpha1.DecisionBreakGlass {
		if err := Own(spec, by); err != nil {
			return err
		}
	}
	for _, policy := range Names(spec) {
		if !c.Allowed(by, policy, verb) {
			return fmt.Errorf("%s has no right to %s AccessPolicy %s", by.Username, verb, policy)
		}
	}
	return nil
}
