package approval

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/plugin/table"
)

// longText is from where on the text of a statement has been cut: the bound of spec.statement.text, less a mark and a rune.
const longText = 8192 - 16

// Show writes a request as an approver has to see it: all of its text, and nothing that a terminal would obey.
func (q *Question) Show(w io.Writer, now time.Time, color bool) error {
	s := &sheet{color: color}
	r := q.Request
	head := fmt.Sprintf("%s   %s", q.Name(), State(r))
	if Open(r) {
		head += fmt.Sprintf(", void in %s (%s)", table.Span(r.Spec.ExpiresAt.Sub(now)), table.Clock(r.Spec.ExpiresAt.Time, now))
	}
	s.b.WriteString(table.Paint(head, table.Strong, color) + "\n")
	s.line("asks for", what(r))
	s.line("requester", requesterInFull(r))
	s.line("data source", r.Namespace+"/"+string(r.Spec.DataSource.Name))
	if st := r.Spec.Statement; st != nil {
		q.showStatement(s, st)
	}
	if r.Spec.CreatedBy != nil {
		s.line("created by", r.Spec.CreatedBy.Username)
	}
	s.line("reason", r.Spec.Reason)
	for _, t := range q.Rules {
		s.line("rule", r.Namespace+"/"+t.Policy+", rule "+t.Rule)
		s.line("  needs", t.needs())
		s.line("  good for", q.goodFor(t))
	}
	if len(q.Rules) > 1 {
		s.line("together", "every rule has to be satisfied, and the narrowest of what they grant counts")
	}
	for _, d := range r.Status.Decisions {
		said := fmt.Sprintf("%s by %s", d.Decision, d.By)
		if d.Refused != "" {
			said += "; did not count: " + d.Refused
		}
		s.line("decided", said)
	}
	s.line("missing", r.Status.Missing)
	if st := r.Spec.Statement; st != nil {
		s.text(st)
	}
	_, err := io.WriteString(w, s.b.String())
	return err
}

func (q *Question) showStatement(s *sheet, st *v1alpha1.HeldStatement) {
	if st.EstimatedRows != nil {
		s.line("estimated", "about "+table.Count(*st.EstimatedRows, "row")+", by the database's planner")
	} else {
		s.line("estimated", "not known: the database was not asked")
	}
	if x := st.Exceeded; x != nil {
		s.line("stopped at", fmt.Sprintf("limit %s: %s and %s have gone to the client", x.Limit, table.Count(x.Rows, "row"), table.Bytes(x.Bytes)))
	}
	if st.InTransaction {
		s.note("transaction", "open: locks may be held while this waits")
	}
}

// requesterInFull names the workload, its pod and, where it is known, the process.
func requesterInFull(r *v1alpha1.AccessRequest) string {
	out := r.Spec.Requester.Namespace + "/" + string(r.Spec.Requester.ServiceAccount)
	if pod := r.Spec.Requester.Pod; pod != nil {
		out += ", pod " + string(pod.Name)
	}
	if p := r.Spec.Requester.Process; p != "" {
		out += ", " + p
	}
	return out
}

func (t *Terms) needs() string {
	if t.Approval == nil {
		return "not known: the rule " + t.Problem
	}
	a := t.Approval
	out := table.Count(int64(a.Approvers), "approval")
	if a.Approvers > 1 {
		out += " of different people"
	}
	if len(a.AnyOf) > 0 {
		out += ", of somebody in " + either(a.AnyOf)
	}
	for i, g := range a.AllOf {
		if i == 0 {
			out += "; among them somebody of group " + string(g)
		} else {
			out += " and somebody of group " + string(g)
		}
	}
	return out
}

func either(groups []v1alpha1.GroupName) string {
	if len(groups) == 1 {
		return "group " + string(groups[0])
	}
	return "one of the groups " + joined(groups)
}

// goodFor says what an approval lets happen by one rule.
func (q *Question) goodFor(t Terms) string {
	r := q.Request
	if r.Spec.Access != nil {
		return fmt.Sprintf("%s, from the approval on, by %s/%s, as far as the rule asks", accessWords(r.Spec.Access), r.Spec.Requester.Namespace, r.Spec.Requester.ServiceAccount)
	}
	if t.Approval == nil {
		return "not known: the rule " + t.Problem
	}
	switch grant := t.Approval.Grant; grant {
	case v1alpha1.GrantStatement:
		if r.Spec.Statement != nil && r.Spec.Statement.Exceeded != nil {
			return "the rest of this statement, once"
		}
		return "this statement with these parameters, once"
	case v1alpha1.GrantSession:
		return "the like of it (same rules, same text without constants) until the session ends"
	default:
		if d, ok := grant.Duration(); ok {
			return fmt.Sprintf("the like of it (same rules, same text without constants) by %s/%s, for %s", r.Spec.Requester.Namespace, r.Spec.Requester.ServiceAccount, duration(d))
		}
		return "this statement, once"
	}
}

// sheet is lines with a label before each.
type sheet struct {
	b     strings.Builder
	color bool
}

const labelWidth = 13

func (s *sheet) line(label, text string) { s.styled(label, text, table.Plain) }

func (s *sheet) note(label, text string) { s.styled(label, text, table.Attention) }

func (s *sheet) styled(label, text string, style table.Style) {
	if text = table.Line(text); text == "" {
		return
	}
	fmt.Fprintf(&s.b, "  %s%s\n", table.Paint(fmt.Sprintf("%-*s", labelWidth, label), table.Faint, s.color), table.Paint(text, style, s.color))
}

// text prints all of a statement behind a bar, so that no line of it can pass for one of ours.
func (s *sheet) text(st *v1alpha1.HeldStatement) {
	s.line("statement", "with constants taken out; SHA-256 "+string(st.Digest)[:min(12, len(st.Digest))]+"…")
	for line := range strings.SplitSeq(strings.TrimRight(table.Block(st.Text), "\n"), "\n") {
		s.b.WriteString("  " + table.Paint("│", table.Faint, s.color) + " " + line + "\n")
	}
	if len(st.Text) >= longText {
		s.note("", "the text is cut here; the statement is longer than what you see")
	}
}
