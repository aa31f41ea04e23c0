package notify

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
)

// recent is how long ago something may have happened that is told at the start: longer than it takes until another replica
// is leader, and short enough that a restart does not repeat the day.
const recent = time.Minute

// notice is one thing to tell.
type notice struct {
	event   Event
	at      time.Time
	request *v1alpha1.AccessRequest // shared with the cache: not to be changed
}

// id is the same whenever the same thing is told, by whichever replica.
func (n *notice) id() string { return string(n.request.UID) + "." + strings.ToLower(string(n.event)) }

// stateOf is the state as an event: a request that the operator has not seen yet waits.
func stateOf(r *v1alpha1.AccessRequest) Event {
	switch s := r.Status.State; s {
	case "":
		return Pending
	case v1alpha1.RequestPending, v1alpha1.RequestApproved, v1alpha1.RequestDenied, v1alpha1.RequestExpired, v1alpha1.RequestWithdrawn, v1alpha1.RequestRevoked:
		return Event(s)
	}
	return Denied // as the API says of states that are not known
}

func brokenGlass(r *v1alpha1.AccessRequest) bool {
	return meta.IsStatusConditionTrue(r.Status.Conditions, v1alpha1.ConditionBrokenGlass)
}

// since is when the request came into its state, as far as it says so.
func since(r *v1alpha1.AccessRequest) time.Time {
	if s := stateOf(r); s != Pending {
		if c := meta.FindStatusCondition(r.Status.Conditions, string(s)); c != nil && c.Status == metav1.ConditionTrue {
			return c.LastTransitionTime.Time
		}
	}
	for _, t := range []*metav1.Time{r.Status.ClosedAt, r.Status.GrantedAt} {
		if t != nil {
			return t.Time
		}
	}
	return r.CreationTimestamp.Time
}

// appeared returns what to tell of a request that was not known before.
func appeared(r *v1alpha1.AccessRequest, now time.Time) []notice {
	at := since(r)
	if now.Sub(at) > recent {
		return nil
	}
	return tell(r, at, true, brokenGlass(r))
}

// changed returns what to tell of a change.
func changed(before, after *v1alpha1.AccessRequest) []notice {
	return tell(after, since(after), stateOf(before) != stateOf(after), brokenGlass(after) && !brokenGlass(before))
}

// gone returns what to tell of a request that was deleted: nobody waits any more, and what it granted has ended.
func gone(r *v1alpha1.AccessRequest, now time.Time) []notice {
	switch until := r.Status.GrantedUntil; {
	case stateOf(r) == Pending && r.Spec.ExpiresAt.After(now):
		return []notice{{Withdrawn, now, r}}
	case stateOf(r) == Approved && until != nil && until.After(now):
		return []notice{{Revoked, now, r}}
	}
	return nil
}

func tell(r *v1alpha1.AccessRequest, at time.Time, state, glass bool) []notice {
	var out []notice
	if glass { // first: it is the loud one
		out = append(out, notice{BrokenGlass, at, r})
	}
	if state {
		out = append(out, notice{stateOf(r), at, r})
	}
	return out
}

// title says in a line what happened.
func (n *notice) title() string {
	words := map[Event]string{
		Pending: "Approval is asked for", Approved: "Approved", Denied: "Denied", Expired: "Expired", Withdrawn: "Withdrawn",
		Revoked: "Revoked", BrokenGlass: "GLASS BROKEN: one person has answered alone",
	}
	return words[n.event] + ": " + n.request.Namespace + "/" + n.request.Name
}

// fact is a line of a notice. The value may be the requester's own words.
type fact struct{ name, value string }

// facts returns the lines, without those that have nothing to say.
func (n *notice) facts() []fact {
	r := n.request
	who := r.Spec.Requester.Namespace + "/" + string(r.Spec.Requester.ServiceAccount)
	all := []fact{{"Requester", who}}
	if p := r.Spec.Requester.Pod; p != nil {
		all = append(all, fact{"Pod", string(p.Name)})
	}
	all = append(all,
		fact{"Data source", r.Namespace + "/" + string(r.Spec.DataSource.Name)},
		fact{"Rule", r.Namespace + "/" + string(r.Spec.Policy) + ", " + r.Spec.Rule},
		fact{"What", r.Spec.Summary}, fact{"Reason", r.Spec.Reason},
	)
	if s := r.Spec.Statement; s != nil {
		if s.EstimatedRows != nil {
			all = append(all, fact{"Rows expected", fmt.Sprintf("about %d", *s.EstimatedRows)})
		}
		if x := s.Exceeded; x != nil {
			all = append(all, fact{"Limit reached", fmt.Sprintf("%s, after %d rows and %d bytes", x.Limit, x.Rows, x.Bytes)})
		}
		if s.InTransaction {
			all = append(all, fact{"In a transaction", "locks may be held while it waits"})
		}
	}
	switch {
	case n.event == Pending:
		all = append(all, fact{"Void at", utc(r.Spec.ExpiresAt.Time)}, fact{"Missing", r.Status.Missing})
	case r.Status.GrantedUntil != nil:
		all = append(all, fact{"Granted until", utc(r.Status.GrantedUntil.Time)})
	}
	for i := range r.Status.Decisions {
		if d := &r.Status.Decisions[i]; d.Refused == "" && n.event != Pending {
			all = append(all, fact{string(d.Decision) + " by", d.By})
		}
	}
	said := all[:0]
	for _, f := range all {
		if f.value = plain(f.value, 300); f.value != "" {
			said = append(said, f)
		}
	}
	return said
}

// text is the statement with its constants taken out, or the access that is asked for; cut.
func (n *notice) text(most int) string {
	if s := n.request.Spec.Statement; s != nil {
		return visible(s.Text, most, true)
	}
	a := n.request.Spec.Access
	if a == nil {
		return ""
	}
	var on []string
	for _, t := range a.Tables {
		on = append(on, string(t))
	}
	var kinds []string
	for _, s := range a.Statements {
		kinds = append(kinds, string(s))
	}
	return visible(strings.Join(kinds, ", ")+" on "+strings.Join(on, ", ")+" for "+a.Duration.Duration.String(), most, false)
}

// commands answer the request: by the plugin, and by kubectl alone. There are none where there is nothing left to answer.
// All that goes into them is checked by the API server: names, UIDs and hex digits.
func (n *notice) commands() []string {
	r := n.request
	if n.event != Pending {
		return nil
	}
	ref := v1alpha1.AccessRequestReference{Name: v1alpha1.ObjectName(r.Name), UID: string(r.UID)}
	if s := r.Spec.Statement; s != nil {
		ref.Digest = s.Digest
	}
	decision := map[string]any{
		"apiVersion": v1alpha1.GroupVersion.String(), "kind": "AccessDecision", "metadata": map[string]string{"generateName": r.Name + "-"},
		"spec": map[string]any{"requestRef": ref, "decision": v1alpha1.DecisionApprove},
	}
	raw, err := json.Marshal(decision)
	if err != nil {
		return nil // strings alone: it cannot be
	}
	return []string{
		fmt.Sprintf("kubectl tidewaiter approve -n %s %s", r.Namespace, r.Name),
		fmt.Sprintf("kubectl tidewaiter deny -n %s %s", r.Namespace, r.Name),
		fmt.Sprintf("echo '%s' | kubectl create -n %s -f -", raw, r.Namespace),
	}
}

func utc(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// plain is a text on one line.
func plain(s string, most int) string { return strings.TrimSpace(visible(s, most, false)) }

// visible cuts a text to so many characters, and takes out what would not be seen: control characters, and those that
// turn the direction of writing round, by which an agent could show approvers another statement than it runs.
func visible(s string, most int, lines bool) string {
	var b strings.Builder
	count := 0
	for _, c := range s {
		if count++; count > most {
			b.WriteString(" …")
			break
		}
		switch {
		case c == '\n' && lines, c == '\t' && lines:
			b.WriteRune(c)
		case unicode.IsSpace(c):
			b.WriteByte(' ')
		case !unicode.IsPrint(c):
			b.WriteRune(unicode.ReplacementChar)
		default:
			b.WriteRune(c)
		}
	}
	return b.String()
}
