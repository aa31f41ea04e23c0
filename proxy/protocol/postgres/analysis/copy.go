package analysis

import (
	"strconv"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v5"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/catalog"
)

// Copy describes the data of a COPY between client and server (PostgreSQL
// documentation, COPY).
type Copy struct {
	Out       bool   // TO STDOUT; otherwise FROM STDIN
	Format    string // "text", "csv" or "binary"
	Delimiter byte
	Quote     byte   // csv
	Escape    byte   // csv
	Null      string // how NULL is written
	Header    bool   // the first line holds names
	// ForceQuoteAll: FORCE_QUOTE *; ForceQuote: the columns it names.
	ForceQuoteAll bool
	ForceQuote    []string
	// Columns in the order of the data; nil = not known, then Statement.Derived
	// counts for every value.
	Columns []CopyColumn
}

// CopyColumn is one column of COPY data. RelOID, Num and TypeOID are 0 where
// they are not known.
type CopyColumn struct {
	Name    string
	RelOID  uint32
	Num     int16
	TypeOID uint32
	Tags    []string
	Derived bool
}

func (a *analyzer) copyStmt(s *pg.CopyStmt) {
	a.out.Kind = KindCopyOut
	if s.GetIsFrom() {
		a.out.Kind = KindCopyIn
	}
	data := a.copyOptions(s)
	switch {
	case s.GetQuery() != nil:
		a.copyQuery(s.GetQuery(), data)
	case s.GetIsFrom():
		a.copyRelation(s, access.AccessWrite, data)
	default:
		a.copyRelation(s, access.AccessRead, data)
		a.feature(BulkSelect, "COPY of a whole relation")
	}
	switch {
	case s.GetIsProgram() && s.GetIsFrom():
		a.feature(Program, "COPY … FROM PROGRAM")
	case s.GetIsProgram():
		a.feature(Program, "COPY … TO PROGRAM")
	case s.GetFilename() != "":
		a.feature(File, "COPY with a file of the server")
	default:
		a.out.Copy = data
		return
	}
	if !s.GetIsFrom() && len(a.tags) > 0 {
		a.launder("COPY of protected values to a file or program")
	}
}

func (a *analyzer) copyQuery(n *pg.Node, data *Copy) {
	inner := a.nest(n)
	if inner.Kind != KindSelect {
		a.inner = append(a.inner, inner.Statement)
	}
	a.out.Derived, a.out.Outputs = inner.Derived, inner.Outputs
	for i, o := range inner.Outputs {
		c := CopyColumn{Name: o.Name, Tags: o.Tags, Derived: o.Derived}
		if i < len(inner.origins) && !o.Derived {
			c.RelOID, c.Num, c.TypeOID = inner.origins[i].relation, inner.origins[i].number, inner.origins[i].typeOID
		}
		data.Columns = append(data.Columns, c)
	}
}

func (a *analyzer) copyRelation(s *pg.CopyStmt, how access.Access, data *Copy) {
	a.utility = true
	from := a.relation(s.GetRelation(), how)
	e := env{scope: &scope{sources: []*source{from}}}
	a.predicate(s.GetWhereClause(), e)
	carried := from.all()
	if !from.open {
		data.Columns, carried = copyColumns(from, stringList(s.GetAttlist()))
	}
	if how == access.AccessRead {
		a.out.Derived = carried.tags
		a.tags = catalog.Union(a.tags, carried.tags)
		a.shown = a.shown.and(carried)
	}
}

// copyColumns are the columns that COPY transfers: those listed, otherwise all
// but generated ones. A listed name that is not there makes the list unknown.
func copyColumns(s *source, names []string) (columns []CopyColumn, carried flow) {
	add := func(c column) {
		columns = append(columns, CopyColumn{Name: c.name, RelOID: c.relation, Num: c.number, TypeOID: c.typeOID, Tags: c.tags})
		carried = carried.and(c.flow)
	}
	if len(names) == 0 {
		for _, c := range s.columns {
			if !c.generated {
				add(c)
			}
		}
		return columns, carried
	}
	for _, name := range names {
		at := indexOf(s.columns, name)
		if at < 0 {
			return nil, s.all()
		}
		add(s.columns[at])
	}
	return columns, carried
}

func indexOf(columns []column, name string) int {
	for i := range columns {
		if columns[i].name == name {
			return i
		}
	}
	return -1
}

// copyOptions reads how the data is written. An option that is not known makes
// the statement not understood: it could change the format.
func (a *analyzer) copyOptions(s *pg.CopyStmt) *Copy {
	c := &Copy{Out: !s.GetIsFrom(), Format: "text"}
	given := map[string]string{}
	for _, n := range s.GetOptions() {
		option := n.GetDefElem()
		name, arg := option.GetDefname(), option.GetArg()
		switch name {
		case "format":
			c.Format = strings.ToLower(arg.GetString_().GetSval())
		case "delimiter", "null", "quote", "escape":
			text, ok := optionText(arg)
			a.opaque = a.opaque || !ok
			given[name] = text
		case "header":
			c.Header = !isFalse(arg)
		case "force_quote":
			c.ForceQuoteAll = arg.GetAStar() != nil
			c.ForceQuote = stringList(arg.GetList().GetItems())
		case "encoding":
			if !safeValues["client_encoding"][strings.ToLower(arg.GetString_().GetSval())] {
				a.feature(ParserSetting, "COPY with another encoding")
			}
		case "freeze", "force_not_null", "force_null", "default":
		default:
			a.opaque = true
		}
	}
	a.copyCharacters(c, given)
	return c
}

// optionText is an option's value as the server reads it as text.
func optionText(arg *pg.Node) (string, bool) {
	switch v := arg.GetNode().(type) {
	case *pg.Node_String_:
		return v.String_.GetSval(), true
	case *pg.Node_Integer:
		return strconv.Itoa(int(v.Integer.GetIval())), true
	}
	return "", false
}

// copyCharacters fills in the defaults of the format.
func (a *analyzer) copyCharacters(c *Copy, given map[string]string) {
	character := func(name string, otherwise byte) byte {
		text, ok := given[name]
		if !ok {
			return otherwise
		}
		if len(text) != 1 { // the server will refuse it
			a.opaque = true
			return otherwise
		}
		return text[0]
	}
	null, hasNull := given["null"]
	switch c.Format {
	case "text":
		c.Delimiter, c.Null = character("delimiter", '\t'), `\N`
	case "csv":
		c.Delimiter, c.Quote = character("delimiter", ','), character("quote", '"')
		c.Escape = character("escape", c.Quote)
	case "binary":
	default:
		a.opaque = true
	}
	if hasNull {
		c.Null = null
	}
}
