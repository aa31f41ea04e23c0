package approval

import (
	"bytes"
	"slices"
	"strings"
	"time"

	sidecarv1alpha1 "github.com/tidewaiter/tidewaiter/api/sidecar/v1alpha1"
	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/session"
)

const (
	// maxGrants bounds how many are kept, maxGrant how long one holds whatever it says.
	maxGrants = 256
	maxGrant  = 24 * time.Hour
)

// grant lets statements through. Its rules are those that people were asked for.
type grant struct {
	name       string // of the AccessRequest
	request    string // "namespace/name" of it
	dataSource string
	rules      []access.RuleRef
	session    string // empty: any
	shape      []byte // empty: what classes and tables say
	classes    []string
	tables     []string
	until      time.Time
	words      string
}

// grantOf reads the grant that came with the answer to a hold; nil if it covers nothing.
// It is for the data source of the hold, whatever it says. What was approved in the middle
// of a result is to go on: it must not let another one begin, and who goes on is always asked
// for, so that the operator answers by what it remembers.
func (b *Broker) grantOf(h *hold, m *sidecarv1alpha1.Grant) *grant {
	if h.request.GetExceeded() != nil {
		return nil
	}
	lasts := min(time.Duration(m.GetSeconds())*time.Second, maxGrant)
	if lasts == 0 || len(m.GetRules()) == 0 || m.GetName() == "" || len(m.GetShape()) == 0 && m.GetAccess() == nil {
		return nil
	}
	g := &grant{
		name: m.GetName(), request: nameIn(h.dataSource, m.GetName()), dataSource: h.dataSource, session: m.GetSession(), shape: m.GetShape(),
		classes: m.GetAccess().GetClasses(), tables: m.GetAccess().GetTables(), until: b.now().Add(lasts), words: lasts.String(),
	}
	if g.session != "" {
		g.words = "Session"
	}
	for _, r := range m.GetRules() {
		g.rules = append(g.rules, access.RuleRef{Policy: r.GetPolicy(), Rule: r.GetRule()})
	}
	return g
}

// keep adds a grant. Where there are too many, the one that ends first goes.
func (b *Broker) keep(g *grant) {
	b.ended()
	b.grants = slices.DeleteFunc(b.grants, func(old *grant) bool { return old.request == g.request })
	if len(b.grants) >= maxGrants {
		first := 0
		for i, old := range b.grants {
			if old.until.Before(b.grants[first].until) {
				first = i
			}
		}
		b.grants = slices.Delete(b.grants, first, first+1)
	}
	b.grants = append(b.grants, g)
}

// ended drops grants that have ended.
func (b *Broker) ended() {
	now := b.now()
	b.grants = slices.DeleteFunc(b.grants, func(g *grant) bool { return !now.Before(g.until) })
}

// covering returns a grant that covers what is asked, or nil.
func (b *Broker) covering(q *session.Question) *grant {
	b.ended()
	for _, g := range b.grants {
		if g.covers(q) {
			return g
		}
	}
	return nil
}

// covers reports whether nobody has to be asked for q. One that is for the like of what
// was approved needs the very rules; one that was asked for ahead of time is for all of
// its rules, of which a statement may meet some.
func (g *grant) covers(q *session.Question) bool {
	if g.dataSource != q.DataSource || g.session != "" && g.session != q.Session || len(q.Rules) == 0 {
		return false
	}
	for _, r := range q.Rules {
		if !slices.Contains(g.rules, r) {
			return false
		}
	}
	if len(g.shape) > 0 {
		return bytes.Equal(g.shape, q.Operation.Held.Shape) && !slices.ContainsFunc(g.rules, func(r access.RuleRef) bool { return !slices.Contains(q.Rules, r) })
	}
	for i := range q.Operation.Statements {
		if !g.allows(&q.Operation.Statements[i]) {
			return false
		}
	}
	return len(q.Operation.Statements) > 0
}

// allows reports whether each kind, feature and table of a statement is listed.
func (g *grant) allows(st *access.Statement) bool {
	if !slices.Contains(g.classes, st.Kind) {
		return false
	}
	for _, f := range st.Features {
		if !slices.Contains(g.classes, f.Name) {
			return false
		}
	}
	for _, r := range st.Resources {
		if !slices.ContainsFunc(g.tables, func(pattern string) bool { return matches(pattern, r.Schema, r.Name) }) {
			return false
		}
	}
	return true
}

// matches reports whether a table matches a pattern schema.table, where * is any text
// within a part.
func matches(pattern, schema, name string) bool {
	first, second, ok := strings.Cut(pattern, ".")
	return ok && glob(first, schema) && glob(second, name)
}

func glob(pattern, s string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == s
	}
	last := len(parts) - 1
	if !strings.HasPrefix(s, parts[0]) {
		return false
	}
	s = s[len(parts[0]):]
	for _, part := range parts[1:last] {
		at := strings.Index(s, part)
		if at < 0 {
			return false
		}
		s = s[at+len(part):]
	}
	return strings.HasSuffix(s, parts[last])
}
