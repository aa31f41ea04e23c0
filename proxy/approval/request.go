package approval

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	sidecarv1alpha1 "github.com/tidewaiter/tidewaiter/api/sidecar/v1alpha1"
	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/session"
)

// Bounds of what goes into a request or comes out of an answer, in bytes or pieces.
const (
	maxRules      = 9
	maxStatements = 64
	maxTables     = 256
	maxText       = 8 << 10
	maxSummary    = 256
	maxProcess    = 256
	maxReason     = 1 << 10
	maxName       = 512
	maxBy         = 10
)

// key is what makes a statement that comes again the same: data source, rules, text,
// parameters, and what the names in it mean.
type key [sha256.Size]byte

// keyOf returns the zero key for what is like no other.
func keyOf(q *session.Question) key {
	held := &q.Operation.Held
	if len(held.Digest) == 0 {
		return key{}
	}
	rules := slices.Clone(q.Rules)
	slices.SortFunc(rules, func(a, b access.RuleRef) int {
		return strings.Compare(a.Policy+"\x00"+a.Rule, b.Policy+"\x00"+b.Rule)
	})
	encoded, err := json.Marshal([]any{q.DataSource, rules, held.Digest, held.Parameters, q.Operation.Statements, q.Operation.Exceeded != nil})
	if err != nil {
		return key{}
	}
	return sha256.Sum256(encoded)
}

// requestOf words what people are asked.
func requestOf(q *session.Question) (*sidecarv1alpha1.ApprovalRequest, *access.Denial) {
	held := &q.Operation.Held
	r := &sidecarv1alpha1.ApprovalRequest{
		DataSource: q.DataSource, Session: q.Session, Digest: held.Digest, ParametersDigest: held.Parameters, Shape: held.Shape,
		Text: shown(held.Text), Summary: cut(held.Summary, maxSummary), InTransaction: held.InTransaction, EstimatedRows: held.EstimatedRows,
	}
	for _, rule := range q.Rules {
		r.Rules = append(r.Rules, &sidecarv1alpha1.RuleReference{Policy: rule.Policy, Rule: rule.Rule})
	}
	if e := q.Operation.Exceeded; e != nil {
		r.Exceeded = &sidecarv1alpha1.ExceededLimit{Limit: e.Limit, Rows: e.Rows, Bytes: e.Bytes}
	}
	if p := q.Identity.Process; p != nil {
		r.Process = cut(fmt.Sprintf("%s (pid %d)", p.Exe, p.PID), maxProcess)
	}
	if len(r.Digest) == 0 { // it cannot be told from others: it is one of its own
		own := sha256.Sum256([]byte(newID()))
		r.Digest = own[:]
	}
	r.Statements = statements(q.Operation)
	tables := 0
	for _, st := range r.Statements {
		tables += len(st.Tables)
	}
	switch {
	case q.Timeout <= 0:
		return nil, unaskable(q, "The rule that asks for approval gives no time for it.")
	case q.Refuse && keyOf(q) == key{}:
		return nil, unaskable(q, "The rule, or the client, says not to wait, and this cannot be recognized when it comes again.")
	case len(r.Rules) == 0 || len(r.Rules) > maxRules:
		return nil, unaskable(q, fmt.Sprintf("%d rules ask for approval; people can be asked for 1 to %d at a time.", len(r.Rules), maxRules))
	case len(r.Statements) > maxStatements || tables > maxTables:
		return nil, unaskable(q, "It does more than can be shown to people. Send its statements one at a time.")
	}
	return r, nil
}

// statements are the operation's, each that differs once.
func statements(op *access.Operation) []*sidecarv1alpha1.HeldStatement {
	var out []*sidecarv1alpha1.HeldStatement
	seen := map[string]bool{}
	for i := range op.Statements {
		st := &op.Statements[i]
		s := &sidecarv1alpha1.HeldStatement{Kind: st.Kind}
		for _, f := range st.Features {
			s.Features = append(s.Features, f.Name)
		}
		for _, r := range st.Resources {
			if name := r.Schema + "." + r.Name; !slices.Contains(s.Tables, name) {
				s.Tables = append(s.Tables, name)
			}
		}
		words := strings.Join([]string{s.Kind, strings.Join(s.Features, "\x00"), strings.Join(s.Tables, "\x00")}, "\x01")
		if !seen[words] {
			seen[words] = true
			out = append(out, s)
		}
	}
	return out
}

// tail ends a text that is not all there: who approves must see that it goes on.
const tail = "\n… (it goes on, longer than can be shown)"

// shown bounds a statement's text.
func shown(text string) string {
	if text = cut(text, len(text)); len(text) <= maxText {
		return text
	}
	return cut(text, maxText-len(tail)) + tail
}

// cut bounds a text, and makes it the UTF-8 that a message needs.
func cut(s string, size int) string {
	return strings.Clone(strings.ToValidUTF8(s[:min(len(s), size)], "")) // what it was cut from may be large
}
