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
	Approval   *Approval   `json:"approval,omitempty"`
}

// Statement is one statement of the text.
type Statement struct {
	Kind string `json:"kind"` // empty: not understood
	Text string `json:"text"`
	// Runs is what would run in place of Text, where columns are masked at the source; empty: Text itself.
	Runs      string     `json:"runs,omitempty"`
	Relations []Relation `json:"relations,omitempty"`
	Features  []string   `json:"features,omitempty"`
	// Predicates says how columns with PredicateTags are compared, sorted or grouped by.
	Predicates    []string `json:"predicates,omitempty"`
	PredicateTags []string `json:"predicateTags,omitempty"`
	Columns       []Column `json:"columns,omitempty"`
	// Note says what could not be found out: why there are no columns, or that a relation is not known.
	Note string `json:"note,omitempty"`
}

// Relation is a table or the like that the statement uses.
type Relation struct {
	Name   string   `json:"name"`   // "schema.name"
	Access string   `json:"access"` // Read, Write, Define
	Tags   []string `json:"tags,omitempty"`
}

// Column is a column of a result, or of the data of a COPY.
type Column struct {
	Name string `json:"name"`
	Type string `json:"type,omitempty"`
	// Source is the column that the values are, "schema.table.column"; empty where they are computed.
	Source string   `json:"source,omitempty"`
	Tags   []string `json:"tags,omitempty"`
	// Derived: the values may be computed from tagged ones rather than be them.
	Derived bool `json:"derived,omitempty"`
	// Mask is the strategy in effect; empty: shown.
	Mask string `json:"mask,omitempty"`
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

func approval(a access.Approval) *Approval {
	return &Approval{TimeoutSeconds: int64(a.Timeout.Seconds()), Approvers: a.Approvers, Grant: a.Grant}
}

// statement is what the analysis says, inner statements included.
func statement(st *analysis.Statement) Statement {
	out := Statement{Kind: st.Kind, Text: st.Text}
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
			out.Features = addOnce(out.Features, f.Name)
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
