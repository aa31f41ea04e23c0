package replay

import (
	"fmt"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/proxy/access"
)

// What is kept of a statement, so that a hostile recording cannot make a replay
// grow: characters of a text, a note or a message, alarms, parameters, and what
// a cell of a table shows.
const (
	maxText       = 256 << 10
	maxLine       = 400
	maxNote       = 2000
	maxWord       = 40
	maxAlarms     = 8
	maxParameters = 24
	maxResources  = 12
)

// statement is what is known of one operation, already made visible.
type statement struct {
	number     int64
	time       time.Time
	prepare    bool
	text       string
	hidden     int // characters of the text that text does not show
	facts      string
	parameters string
	decision   access.Decided // effect, rule, reason …; its lists are not kept
	flags      string
	alarms     []string
	asked      []string // of whom approval was asked, and what they said
	answer     access.AnswerOutcome
	tables     tables
	digests    digests
	ended      *access.Ended
	over       bool
}

func newStatement(e *access.Event, full bool) *statement {
	d := e.Decided
	s := &statement{number: e.Statement, time: e.Time, prepare: d.Phase == access.PhasePrepare, facts: facts(d), parameters: parameters(d.Parameters)}
	if full {
		s.text, s.hidden = block(d.Text, maxText)
	} else {
		s.text, s.hidden = oneLine(d.Text, maxLine)
	}
	if d.TextSize > int64(len(d.Text)) {
		s.hidden += int(min(d.TextSize-int64(len(d.Text)), 1<<40))
	}
	s.flags = visible(strings.Join(firstFew(d.Flags, maxResources), "; "), maxNote)
	s.decision = access.Decided{
		Effect: visible(d.Effect, maxWord), Policy: visible(d.Policy, maxLine), Rule: visible(d.Rule, maxLine), Reason: visible(d.Reason, maxNote), Observed: d.Observed,
	}
	return s
}

// facts says what the analysis saw in a statement. It is shown where the text is
// cut: what a client hides behind a long comment still has a kind and a table.
func facts(d *access.Decided) string {
	parts := append(firstFew(d.Kinds, maxResources), firstFew(d.Features, maxResources)...)
	parts = append(parts, firstFew(d.Resources, maxResources)...)
	if len(parts) == 0 {
		return "not understood"
	}
	return visible(strings.Join(parts, ", "), maxNote)
}

func firstFew(list []string, n int) []string {
	if len(list) <= n {
		return list[:len(list):len(list)]
	}
	return append(list[:n:n], fmt.Sprintf("and %s more", count(int64(len(list)-n))))
}

func parameters(values []access.Value) string {
	var b strings.Builder
	for i := range values {
		if i == maxParameters {
			fmt.Fprintf(&b, "  and %s more", count(int64(len(values)-i)))
			break
		}
		if i > 0 {
			b.WriteString("  ")
		}
		fmt.Fprintf(&b, "$%d = %s", i+1, cell(&values[i]))
	}
	return b.String()
}

// uneventful reports whether the statement was only prepared, and neither
// refused nor failed.
func (s *statement) uneventful() bool {
	if !s.prepare || len(s.alarms) > 0 || s.decision.Observed || s.decision.Effect != access.Allow.String() {
		return false
	}
	return s.ended == nil || s.ended.Outcome == access.OutcomeDone
}

// addRows keeps at most n rows over all of the statement's results.
func (s *statement) addRows(r *access.Rows, n int) {
	if r.Digest != nil {
		s.digests.add(r.Digest)
		return
	}
	if n > 0 {
		s.tables.add(r, n)
	}
}

// end keeps how the statement went.
func (s *statement) end(e *access.Ended) {
	kept := *e
	kept.Outcome = access.Outcome(visible(string(e.Outcome), maxWord))
	kept.Tag, kept.Code, kept.Message = visible(e.Tag, maxWord), visible(e.Code, maxWord), visible(e.Message, maxNote)
	s.ended, s.over = &kept, true
}

// problem is what the statement's end says beyond the verdict, or nothing. The
// message of a refusal by policy only says again what verdict and reason say.
func (s *statement) problem() string {
	e := s.ended
	if e == nil || e.Outcome == access.OutcomeDenied && s.decision.Effect != access.Allow.String() && s.decision.Reason != "" {
		return ""
	}
	return strings.TrimSpace(e.Code + " " + e.Message)
}

// verdict says in a few words what was decided, by whom, and how loud to say it.
func (s *statement) verdict() (string, tone) {
	d, by := &s.decision, source(&s.decision)
	denied := s.ended != nil && s.ended.Outcome == access.OutcomeDenied
	switch {
	case d.Observed:
		return "would be denied (Observe)", warning
	case s.prepare && !denied && d.Effect == access.RequireApproval.String():
		return "needs approval to run (" + by + ")", warning
	case denied && d.Effect == access.RequireApproval.String():
		return "DENIED (needs approval, " + by + ")", alarm
	case denied && d.Effect == access.Allow.String():
		return "DENIED (by Tidewaiter itself)", alarm // e.g. its record could not be written
	case d.Effect == access.RequireApproval.String() && s.ended == nil:
		return "held for approval (" + by + ")", warning
	case d.Effect == access.RequireApproval.String():
		return "approved (" + by + ")", good
	case d.Effect == access.Allow.String():
		return "allowed (" + by + ")", good
	default:
		return "DENIED (" + by + ")", alarm
	}
}

// source names who decided: "rule read", "guard Program".
func source(d *access.Decided) string {
	switch {
	case strings.HasPrefix(d.Rule, "guard "):
		return d.Rule
	case d.Rule != "":
		return "rule " + d.Rule
	case d.Policy != "":
		return "policy " + d.Policy
	default:
		return "no rule"
	}
}

// result sums up what came back, in the words of the closing columns.
func (s *statement) result() []string {
	e := s.ended
	if e == nil {
		return []string{"no end recorded"}
	}
	var parts []string
	switch {
	case e.Outcome == access.OutcomeDenied:
		return nil
	case e.Outcome == access.OutcomeSkipped:
		return []string{"skipped: something before it failed"}
	case e.Outcome == access.OutcomeFailed:
		parts = append(parts, "FAILED")
	case e.Outcome == access.OutcomeStopped:
		parts = append(parts, "STOPPED")
	case e.Outcome == access.OutcomeLost:
		parts = append(parts, "LOST: a connection ended first")
	case e.Outcome != access.OutcomeDone:
		parts = append(parts, string(e.Outcome))
	}
	if e.Rows > 0 {
		parts = append(parts, plural(e.Rows, "row"))
	} else if e.Tag != "" {
		parts = append(parts, e.Tag)
	}
	parts = append(parts, duration(e.Duration))
	if e.Masked > 0 {
		parts = append(parts, plural(e.Masked, "value")+" masked")
	}
	return parts
}
