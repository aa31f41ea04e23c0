package approvals

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/types"

	sidecarv1alpha1 "github.com/tidewaiter/tidewaiter/api/sidecar/v1alpha1"
	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
)

// Bounds of a sidecar's message, in bytes or pieces. They are the protocol's; what is larger comes from no sidecar of ours.
const (
	holdSize      = 32
	maxRules      = 9
	maxStatements = 64
	maxFeatures   = 64 // of a statement
	maxTables     = 256
	maxWord       = 64
	maxTable      = 256
	maxNames      = 32 << 10 // of tables and features, in all
	maxShape      = 64
	maxSession    = 128
	maxText       = 8 << 10
	maxSummary    = 256
	maxProcess    = 256
	maxWaited     = 24 * time.Hour
)

// Question is what a sidecar asks, beside what the operator knows of it.
type Question struct {
	Message *sidecarv1alpha1.ApprovalRequest
	// DataSource that the message names, one of those that the pod was injected with.
	DataSource types.NamespacedName
	// Policies of the data source that select the pod now. They are not changed.
	Policies []*v1alpha1.AccessPolicy
}

// ask is a question that may be put to people.
type ask struct {
	dataSource types.NamespacedName
	hold       string
	rules      []v1alpha1.RuleReference // the one that is named to the client first
	ruleKey    string
	terms      terms
	session    string
	digest     v1alpha1.Digest
	parameters v1alpha1.Digest
	shape      []byte
	shapeKey   v1alpha1.Digest // empty: it is like no other
	statements []statement
	exceeded   *v1alpha1.ExceededLimit
	refuse     bool
	waited     time.Duration

	text, summary, process string // as they are shown
	inTransaction          bool
	estimatedRows          *int64
}

// statement is one as policy sees it.
type statement struct {
	kind             string
	features, tables []string
}

// read judges a question. An error says why nobody is asked, in words for the client. Nothing of the message is kept but what
// is bounded.
func read(q Question) (*ask, error) {
	m := q.Message
	if err := bounded(m); err != nil {
		return nil, err
	}
	a := &ask{
		dataSource: q.DataSource, hold: m.GetHold(), session: m.GetSession(), digest: hexOf(m.GetDigest()),
		parameters: hexOf(m.GetParametersDigest()), shape: m.GetShape(), refuse: m.GetRefuse(),
		waited: min(time.Duration(m.GetWaitedSeconds())*time.Second, maxWaited),
		text:   plain(m.GetText(), maxText, "\n\t"), summary: clip(m.GetSummary(), maxSummary), process: clip(m.GetProcess(), maxProcess),
		inTransaction: m.GetInTransaction(),
	}
	if m.EstimatedRows != nil {
		rows := m.GetEstimatedRows()
		a.estimatedRows = &rows
	}
	for _, st := range m.GetStatements() {
		a.statements = append(a.statements, statement{st.GetKind(), st.GetFeatures(), st.GetTables()})
	}
	if len(a.shape) > 0 {
		sum := sha256.Sum256(a.shape)
		a.shapeKey = hexOf(sum[:])
	}
	if e := m.GetExceeded(); e != nil {
		a.exceeded = &v1alpha1.ExceededLimit{Limit: e.GetLimit(), Rows: e.GetRows(), Bytes: e.GetBytes()}
	}
	var err error
	if a.rules, err = rulesOf(m.GetRules(), q.DataSource.Namespace); err != nil {
		return nil, err
	}
	a.ruleKey = ruleKey(a.rules)
	a.terms, err = termsOf(a, q.Policies)
	return a, err
}

func hexOf(sum []byte) v1alpha1.Digest { return v1alpha1.Digest(hex.EncodeToString(sum)) }

// bounded refuses what is not as the protocol says.
func bounded(m *sidecarv1alpha1.ApprovalRequest) error {
	tables, size, features := 0, 0, false
	for _, st := range m.GetStatements() {
		tables += len(st.GetTables())
		for _, name := range slices.Concat(st.GetTables(), st.GetFeatures()) {
			size += len(name)
		}
		features = features || len(st.GetFeatures()) > maxFeatures || tooLong(st.GetFeatures(), maxWord) ||
			tooLong(st.GetTables(), maxTable) || len(st.GetKind()) > maxWord
	}
	e := m.GetExceeded()
	switch {
	case !isHold(m.GetHold()):
		return errors.New("the request's hold is not 32 digits of lower-case hex")
	case m.GetSession() == "" || len(m.GetSession()) > maxSession:
		return fmt.Errorf("the request's session has %d bytes, of 1 to %d", len(m.GetSession()), maxSession)
	case len(m.GetDigest()) != sha256.Size, len(m.GetParametersDigest()) != sha256.Size && len(m.GetParametersDigest()) != 0:
		return errors.New("the request has a digest that is no SHA-256")
	case len(m.GetText()) > maxText || !utf8.ValidString(m.GetText()):
		return fmt.Errorf("the request's text is longer than %d bytes, or no UTF-8", maxText)
	case len(m.GetShape()) > maxShape:
		return fmt.Errorf("the request's shape has %d bytes, of at most %d", len(m.GetShape()), maxShape)
	case len(m.GetStatements()) > maxStatements || tables > maxTables || size > maxNames || features:
		return fmt.Errorf("the request has more than %d statements or %d tables, or names of more than %d bytes", maxStatements, maxTables, maxNames)
	case m.GetEstimatedRows() < 0:
		return errors.New("the request's estimated rows are below 0")
	case e != nil && (!isWord(e.GetLimit()) || e.GetRows() < 0 || e.GetBytes() < 0):
		return errors.New("the request's exceeded limit is none")
	}
	return nil
}

func tooLong(words []string, limit int) bool {
	return slices.ContainsFunc(words, func(s string) bool { return len(s) > limit })
}

func isHold(s string) bool {
	return len(s) == holdSize && strings.Trim(s, "0123456789abcdef") == ""
}

func isWord(s string) bool {
	return s != "" && len(s) <= maxWord && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
}

// rulesOf reads references. They are claims: a policy speaks for data of its own namespace only.
func rulesOf(refs []*sidecarv1alpha1.RuleReference, namespace string) ([]v1alpha1.RuleReference, error) {
	if len(refs) == 0 || len(refs) > maxRules {
		return nil, fmt.Errorf("the request names %d rules, of 1 to %d", len(refs), maxRules)
	}
	out := make([]v1alpha1.RuleReference, 0, len(refs))
	for _, ref := range refs {
		in, name, ok := strings.Cut(ref.GetPolicy(), "/")
		if !ok || in != namespace || name == "" || ref.GetRule() == "" {
			return nil, fmt.Errorf("the request names a policy that is not in namespace %s, where the data source is", namespace)
		}
		rule := v1alpha1.RuleReference{Policy: v1alpha1.ObjectName(name), Rule: ref.GetRule()}
		if slices.Contains(out, rule) {
			return nil, errors.New("the request names a rule twice")
		}
		out = append(out, rule)
	}
	return out, nil
}

// ruleKey is equal for the same rules in any order. No name has a slash or a space.
func ruleKey(rules []v1alpha1.RuleReference) string {
	words := make([]string, len(rules))
	for i, r := range rules {
		words[i] = string(r.Policy) + "/" + r.Rule
	}
	slices.Sort(words)
	return strings.Join(words, " ")
}

// plain cuts s to at most limit bytes of text that a terminal shows as it is: whoever approves reads what an agent wrote.
func plain(s string, limit int, keep string) string {
	s = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) && !strings.ContainsRune(keep, r) {
			return '?'
		}
		return r
	}, s[:min(len(s), 4*limit)])
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit-3], "") + "…"
}
