package analysis

import (
	"slices"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v5"
)

// Hidden stands in a recording in the place of a constant that is not kept, or of a name that nothing is known of.
const Hidden = `'‹masked›'`

// hiddenName is Hidden where a name stood.
const hiddenName = `"‹masked›"`

// MaxRecorded is how many bytes of a text are kept for a recording, to the end of a token or of a kept constant.
const MaxRecorded = 64 << 10

// Recorded is what a recording may keep of a text. The zero value keeps nothing.
type Recorded struct {
	// Text without comments, and with Hidden in the place of each constant that meets tagged columns, that may, or of which
	// that is not known. It ends after MaxRecorded bytes.
	Text string
	// Parameters says by their order, the first parameter first, which may be kept. Those beyond may not.
	Parameters []bool
	// Hides: Text lacks a constant, a parameter may not be kept, or the statement shows a secret. What the server says of the
	// statement, and a result that comes from no column, can repeat it.
	Hides bool
	// Cut: there is more of the text than is here.
	Cut bool
}

// keeping says which constants of a statement are kept.
type keeping uint8

const (
	keepNone keeping = iota
	keepSome         // those that stand beside untagged columns alone
	keepAll
)

// span is what is kept of a statement: of the tokens from start to end.
type span struct {
	start, end int
	keeping    keeping
	shown      []int           // where constants begin that are kept, in their order
	names      map[string]bool // names that nothing is known of
}

// keeper gathers what may be kept of a text, one statement after the other.
type keeper struct {
	text   string
	spans  []span
	starts []int // where the parser says that constants begin
	params []bool
	seen   []bool // the parameters that occur
	hides  bool   // a statement takes or shows secrets
}

// statement adds a statement that a has analyzed.
func (k *keeper) statement(a *analyzer, raw *pg.RawStmt) {
	s := span{start: int(raw.GetStmtLocation()), end: len(k.text), keeping: a.keeping(raw.GetStmt())}
	if n := int(raw.GetStmtLen()); n > 0 {
		s.end = min(s.start+n, len(k.text))
	}
	if s.keeping != keepAll {
		s.names = a.absentNames()
	}
	k.hides = k.hides || a.secretive() || strings.Contains(raw.GetStmt().GetVariableShowStmt().GetName(), ".")
	for _, c := range a.found.constants {
		at := int(c.GetLocation())
		if at < 0 || c.GetIsnull() || c.GetBoolval() != nil {
			continue // not written as a literal
		}
		k.starts = append(k.starts, at)
		if s.keeping == keepAll || s.keeping == keepSome && a.beside.keeps(c) {
			s.shown = append(s.shown, at)
		}
	}
	for _, p := range a.found.params {
		k.parameter(int(p.GetNumber()), s.keeping == keepAll || s.keeping == keepSome && a.beside.keeps(p))
	}
	slices.Sort(s.shown)
	k.spans = append(k.spans, s)
}

// maxParameter is the protocol's own bound on the numbers of parameters.
const maxParameter = 1 << 16

// parameter notes an occurrence of a parameter, which is kept if every occurrence may be.
func (k *keeper) parameter(number int, keep bool) {
	if number < 1 || number > maxParameter {
		return
	}
	for len(k.params) < number {
		k.params, k.seen = append(k.params, false), append(k.seen, false)
	}
	k.params[number-1] = keep && (k.params[number-1] || !k.seen[number-1])
	k.seen[number-1] = true
}

// keeping decides how much of a statement's constants is kept. Whatever is not plainly understood keeps none.
func (a *analyzer) keeping(n *pg.Node) keeping {
	out := a.out
	if a.opaque || out.Kind == "" || !plain(n) || a.secretive() {
		return keepNone
	}
	if len(out.used) > 0 && a.cat.AnyTagged() { // what a body does with its arguments is not followed
		return keepNone
	}
	touches := out.Touches || len(out.Derived) > 0 || len(out.PredicateTags) > 0 || len(out.Tags) > 0 || len(out.Writes) > 0 || len(out.Assigned) > 0
	switch {
	case !touches:
		return keepAll
	case a.uncertain || out.indirect || a.session.stale || a.session.pathChanged:
		return keepNone
	}
	return keepSome
}

// plain reports whether a statement is of a kind whose constants are values beside columns, and no code, options or
// passwords.
func plain(n *pg.Node) bool {
	switch v := n.GetNode().(type) {
	case *pg.Node_SelectStmt, *pg.Node_InsertStmt, *pg.Node_UpdateStmt, *pg.Node_DeleteStmt, *pg.Node_MergeStmt,
		*pg.Node_ExecuteStmt, *pg.Node_FetchStmt:
		return true
	case *pg.Node_PrepareStmt:
		return plain(v.PrepareStmt.GetQuery())
	case *pg.Node_DeclareCursorStmt:
		return plain(v.DeclareCursorStmt.GetQuery())
	case *pg.Node_ExplainStmt:
		return plain(v.ExplainStmt.GetQuery())
	case *pg.Node_CopyStmt:
		return !v.CopyStmt.GetIsFrom() && (v.CopyStmt.GetQuery() == nil || plain(v.CopyStmt.GetQuery()))
	case *pg.Node_VariableSetStmt:
		return !strings.Contains(v.VariableSetStmt.GetName(), ".") // one of the server's own
	}
	return false
}

// keyed are beginnings of functions whose arguments are keys, passwords and connection strings, whoever vouches for them.
var keyed = []string{"dblink", "pgp_", "crypt", "gen_salt", "hmac", "encrypt", "decrypt", "set_config", "current_setting", "postgres_fdw"}

// secretive reports whether a statement runs something that nobody has read, or that takes secrets.
func (a *analyzer) secretive() bool {
	for _, feature := range []string{
		Program, File, LargeObject, DynamicSQL, ForeignData, Replication, UnknownFunction, Identity, Procedural, Extension, Notify, SecretCatalog,
	} {
		if _, has := a.features[feature]; has {
			return true
		}
	}
	for name := range a.functions {
		name = name[strings.LastIndexByte(name, '.')+1:]
		if slices.ContainsFunc(keyed, func(prefix string) bool { return strings.HasPrefix(name, prefix) }) {
			return true
		}
	}
	return false
}

// absentNames are the names in the statement of which nothing is known. A value that was written without quotes, or in
// the wrong ones, is such a name.
func (a *analyzer) absentNames() map[string]bool {
	if len(a.out.Absent) == 0 {
		return nil
	}
	names := map[string]bool{}
	for _, x := range a.out.Absent {
		switch {
		case x.Kind != AbsentColumn:
		case x.Name == "": // nothing is called by the qualifier
			names[x.Schema] = true
		default:
			names[x.Name] = true
		}
	}
	return names
}

// recorded puts together what may be kept.
func (k *keeper) recorded() Recorded {
	t := redaction{lexer: lexer{text: k.text}, spans: k.spans, starts: k.starts}
	slices.Sort(t.starts)
	text, ok := t.run()
	if !ok { // the parser reads the text otherwise than the lexer
		return Unread(k.text)
	}
	return Recorded{Text: text, Parameters: k.params, Hides: k.hides || t.hid || slices.Contains(k.params, false), Cut: t.cut}
}
