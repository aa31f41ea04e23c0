package explain

import (
	"slices"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/analysis"
)

// Report is an explanation. Its JSON is for programs; field names are stable.
type Report struct {
	SQL        string `json:"sql"`
	DataSource string `json:"dataSource"` // "namespace/name"
	Subject    string `json:"subject"`    // "namespace/serviceaccount"

	Effect string `json:"effect"` // Allow, RequireApproval or Deny
	Policy string `json:"policy,omitempty"`
	Rule   string `json:"rule,omitempty"`
	// What, Detail and Hint are what a client would read.
	What   string `json:"what,omitempty"`
	Detail string `json:"detail,omitempty"`
	Hint   string `json:"hint,omitempty"`
	// Position of what could not be understood, in characters from 1.
	Position int `json:"position,omitempty"`
	// Observed: nothing is enforced; Detail says what would be.
	Observed bool     `json:"observed,omitempty"`
	Flags    []string `json:"flags,omitempty"`

	Statements []Statement `json:"statements,omitempty"`
	Limits     *Limits     `json:"limits,omitempty"`
	Probes     *Probes     `json:"probes,omitempty"`
	Approval   *Approval   `json:"approval,omitempty"`
}

// Statement is one statement of the text.
type Statement struct {
	Kind string `json:"kind"` // empty: not understood
	Text string `json:"text"`
	// Runs is what would run in place of Text, where columns are masked at the source; empty: Text itself.
	Runs      string     `json:"runs,omitempty"`
	Relations []Relation `json:"relations,omitempty"`
	Features  []Feature  `json:"features,omitempty"`
	// Predicates says how columns with PredicateTags are compared, sorted or grouped by.
	Predicates    []string `json:"predicates,omitempty"`
	PredicateTags []string `json:"predicateTags,omitempty"`
	// Compared are the columns that conditions, orders and groups look at, tagged or not.
	Compared []Source `json:"compared,omitempty"`
	// Written are the columns that are written to, "schema.table.column", and Values those that the values come from.
	Written []string `json:"written,omitempty"`
	Values  []Source `json:"values,omitempty"`
	Columns []Column `json:"columns,omitempty"`
	// Note says what could not be found out: why there are no columns, or that a relation is not known.
	Note string `json:"note,omitempty"`
}

// Relation is a table or the like that the statement uses.
type Relation struct {
	Name   string   `json:"name"`   // "schema.name"
	Access string   `json:"access"` // Read, Write, Define
	Tags   []string `json:"tags,omitempty"`
}

// Feature is what a statement does beyond its kind.
type Feature struct {
	Name string `json:"name"`
	// Construct is how a person would write it, Effect what it would do, in a sentence.
	Construct string `json:"construct,omitempty"`
	Effect    string `json:"effect,omitempty"`
}

// Source is a column that a value comes from.
type Source struct {
	// Column is "schema.table.column", with "*" for a column where it may be any of them; empty where nothing is known.
	Column string `json:"column,omitempty"`
	// How is direct (it is that column's value), derived (computed from it), condition (chosen by it) or unknown.
	How  string   `json:"how"`
	Tags []string `json:"tags,omitempty"`
}

// Inside is a part of a structured value that is tagged.
type Inside struct {
	// Path is where it stands, as "$.orders[].card".
	Path    string   `json:"path"`
	Sources []Source `json:"sources,omitempty"`
	Tags    []string `json:"tags,omitempty"`
	Derived bool     `json:"derived,omitempty"`
	Mask    string   `json:"mask,omitempty"` // as of a Column
	Rule    string   `json:"rule,omitempty"`
	Why     string   `json:"why"`
}

// Column is a column of a result, or of the data of a COPY.
type Column struct {
	Name string `json:"name"`
	Type string `json:"type,omitempty"`
	// Source is the column that the values are, "schema.table.column"; empty where they are computed.
	Source string `json:"source,omitempty"`
	// Sources are the columns that the values come from, tagged or not, as far as the statement shows them.
	Sources []Source `json:"sources,omitempty"`
	Tags    []string `json:"tags,omitempty"`
	// Derived: the values may be computed from tagged ones rather than be them.
	Derived bool `json:"derived,omitempty"`
	// Mask is the strategy in effect; empty: shown. "Inside" stands for a value of which only parts are masked.
	Mask string `json:"mask,omitempty"`
	// Inside are the tagged parts of such a value.
	Inside []Inside `json:"inside,omitempty"`
	// Rule is the entry that says so; empty where a tag without a mask is redacted.
	Rule string `json:"rule,omitempty"`
	// Why says it for a person.
	Why string `json:"why"`
}

// Limits bound the result; 0 means none.
type Limits struct {
	RowsPerStatement  int64  `json:"rowsPerStatement,omitempty"`
	BytesPerStatement int64  `json:"bytesPerStatement,omitempty"`
	RowsPerHour       int64  `json:"rowsPerHour,omitempty"`
	BytesPerHour      int64  `json:"bytesPerHour,omitempty"`
	OnExceed          string `json:"onExceed"` // Deny or RequireApproval
	Policy            string `json:"policy"`
	Rule              string `json:"rule"`
}

// Probes bound the distinct comparisons with tagged columns.
type Probes struct {
	PerSession *access.Bound `json:"perSession,omitempty"`
	PerHour    *access.Bound `json:"perHour,omitempty"`
}

// Approval says what a person has to do.
type Approval struct {
	TimeoutSeconds int64  `json:"timeoutSeconds"`
	Approvers      int    `json:"approvers"`
	Grant          string `json:"grant"`
}

func limits(l access.Limits) *Limits {
	return &Limits{
		RowsPerStatement: l.RowsPerStatement, BytesPerStatement: l.BytesPerStatement,
		RowsPerHour: l.RowsPerHour, BytesPerHour: l.BytesPerHour,
		OnExceed: l.OnExceed.String(), Policy: l.Policy, Rule: l.Rule,
	}
}

func probes(p access.Probes) *Probes {
	out := &Probes{}
	if p.PerSession.Most > 0 {
		out.PerSession = &p.PerSession
	}
	if p.PerHour.Most > 0 {
		out.PerHour = &p.PerHour
	}
	return out
}

func approval(a access.Approval) *Approval {
	return &Approval{TimeoutSeconds: int64(a.Timeout.Seconds()), Approvers: a.Approvers, Grant: a.Grant}
}

// statement is what the analysis says, inner statements included.
func statement(st *analysis.Statement) Statement {
	out := Statement{
		Kind: st.Kind, Text: st.Text, Compared: sources(st.Reads.Predicate), Values: sources(st.Reads.Write),
	}
	for _, w := range st.Written {
		out.Written = append(out.Written, columnName(w))
	}
	for _, facts := range st.Facts() {
		for _, r := range facts.Resources {
			next := Relation{Name: r.Name, Access: string(r.Access), Tags: r.Tags}
			if r.Schema != "" {
				next.Name = r.Schema + "." + r.Name
			} else {
				out.Note = r.Name + " is not in the catalog, or may be one of several relations"
			}
			if !slices.ContainsFunc(out.Relations, func(o Relation) bool { return o.Name == next.Name && o.Access == next.Access }) {
				out.Relations = append(out.Relations, next)
			}
		}
		for _, f := range facts.Features {
			if !slices.ContainsFunc(out.Features, func(o Feature) bool { return o.Name == f.Name }) {
				out.Features = append(out.Features, Feature{Name: f.Name, Construct: f.Construct, Effect: f.Effect})
			}
		}
		for _, p := range facts.Predicates {
			out.Predicates = addOnce(out.Predicates, p)
		}
		for _, t := range facts.PredicateTags {
			out.PredicateTags = addOnce(out.PredicateTags, t)
		}
	}
	return out
}

func addOnce(to []string, s string) []string {
	if slices.Contains(to, s) {
		return to
	}
	return append(to, s)
}

// hows are the words for the ways in which a value comes from a column.
var hows = map[analysis.How]string{
	analysis.Direct: "direct", analysis.Derived: "derived", analysis.Implicit: "condition", analysis.Opaque: "unknown",
}

// sources names what the analysis found.
func sources(found []analysis.Source) []Source {
	var out []Source
	for _, s := range found {
		next := Source{Column: columnName(s), How: hows[s.How], Tags: s.Tags}
		if !slices.ContainsFunc(out, func(o Source) bool { return o.Column == next.Column && o.How == next.How }) {
			out = append(out, next)
		}
	}
	return out
}

// columnName is empty where the relation is not known.
func columnName(s analysis.Source) string {
	switch {
	case s.Table == "":
		return ""
	case s.Column == "":
		return s.Schema + "." + s.Table + ".*"
	default:
		return s.Schema + "." + s.Table + "." + s.Column
	}
}
