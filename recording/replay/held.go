package replay

import (
	"strings"

	"github.com/tidewaiter/tidewaiter/proxy/access"
)

// maxAsked bounds the lines about who was asked for a statement, and what they said.
const maxAsked = 16

// held keeps that people were asked.
func (s *statement) held(n *access.Notice) {
	rules := make([]string, 0, len(n.Rules))
	for _, r := range n.Rules {
		rules = append(rules, r.Policy+" "+r.Rule)
	}
	s.note("asked as " + n.Request + " (" + strings.Join(firstFew(rules, maxResources), ", ") + "), until " + clock(n.Until))
}

// answered keeps what they said, or why nobody did.
func (s *statement) answered(a *access.Answered) {
	s.answer = access.AnswerOutcome(visible(string(a.Outcome), maxWord))
	words := strings.ToLower(string(a.Outcome))
	if len(a.By) > 0 {
		words += " by " + strings.Join(firstFew(a.By, maxResources), ", ")
	}
	if a.Granted {
		words += " before"
	}
	if a.Request != "" {
		words += " (" + a.Request + ")"
	}
	if a.Grant != "" {
		words += ", good for " + a.Grant
	}
	if a.Reason != "" {
		words += ": " + a.Reason
	}
	s.note(words)
}

func (s *statement) note(words string) {
	if len(s.asked) < maxAsked {
		s.asked = append(s.asked, visible(words, maxNote))
	}
}

// again takes what was decided anew, after people had answered.
func (s *statement) again(d *access.Decided) {
	s.decision.Effect, s.decision.Policy, s.decision.Rule = visible(d.Effect, maxWord), visible(d.Policy, maxLine), visible(d.Rule, maxLine)
	s.decision.Reason = visible(d.Reason, maxNote)
}
