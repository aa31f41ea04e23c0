package explain

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/tidewaiter/tidewaiter/proxy/access"
)

// Write prints the report as a person reads it, with colors for a terminal if asked for. What comes from the statement
// or the database is printed without control characters.
func (r *Report) Write(w io.Writer, color bool) error {
	p := &printer{color: color}
	if len(r.Statements) == 0 {
		p.line("%s  %s", p.verdict(r.Effect, false), visible(r.What))
	}
	for i := range r.Statements {
		if len(r.Statements) > 1 {
			p.line("%s", p.tint("1", fmt.Sprintf("%d. %s", i+1, visible(r.Statements[i].Text))))
		}
		p.statement(r, &r.Statements[i], i == 0)
	}
	p.words(r)
	p.bounds(r)
	_, err := w.Write(p.out.Bytes())
	return err
}

type printer struct {
	out   bytes.Buffer
	color bool
}

func (p *printer) line(format string, args ...any) {
	p.out.WriteString(strings.TrimRight(fmt.Sprintf(format, args...), " "))
	p.out.WriteByte('\n')
}

// verdict is the decision in a word.
func (p *printer) verdict(effect string, observed bool) string {
	switch effect {
	case access.Allow.String():
		if observed {
			return p.tint("33", "ALLOW (observed only)")
		}
		return p.tint("32", "ALLOW")
	case access.RequireApproval.String():
		return p.tint("33", "NEEDS APPROVAL")
	default:
		return p.tint("1;31", "DENY")
	}
}

func (p *printer) tint(code, s string) string {
	if !p.color {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

// statement prints one statement: what it is, the decision (beside the first, since it is one for all), its columns.
func (p *printer) statement(r *Report, st *Statement, first bool) {
	rows := cells(st.Columns)
	at := 0
	for _, row := range rows {
		at = max(at, utf8.RuneCountInString(row.what))
	}
	head := heading(st)
	if first {
		at = max(at, utf8.RuneCountInString(head))
		head = pad(head, at) + "  " + p.verdict(r.Effect, r.Observed) + "   " + visible(decider(r))
	}
	p.line("%s", head)
	for _, row := range rows {
		why := visible(row.why)
		if row.masked {
			why = p.tint("33", why)
		}
		p.line("%s  %s", pad(row.what, at), why)
	}
	if st.Note != "" {
		p.line("  %s", visible(st.Note))
	}
	if st.Runs != "" {
		p.line("  runs as: %s", visible(st.Runs))
	}
	p.facts(st)
}

// facts prints what the statement does beside showing columns.
func (p *printer) facts(st *Statement) {
	for _, f := range st.Features {
		line := f.Name + ":"
		if f.Construct != "" && f.Construct != f.Name {
			line += " " + f.Construct + "."
		}
		if f.Effect != "" {
			p.line("  %s", visible(line+" "+f.Effect))
		}
	}
	if len(st.Written) > 0 {
		line := "writes to " + few(st.Written)
		if len(st.Values) > 0 {
			line += ": " + origins(st.Values, false)
		}
		p.line("  %s", visible(line))
	}
	if len(st.PredicateTags) > 0 {
		p.line("  compares, sorts or groups by %s (%s)", visible(compared(st)), strings.Join(st.Predicates, ", "))
	}
}

// compared names the tagged columns that conditions look at, and the tags where it cannot be told which column carries them.
func compared(st *Statement) string {
	var names []string
	told := map[string]bool{}
	for _, s := range st.Compared {
		if s.Column == "" || len(s.Tags) == 0 {
			continue
		}
		names = append(names, s.Column+" ("+strings.Join(s.Tags, ", ")+")")
		for _, tag := range s.Tags {
			told[tag] = true
		}
	}
	for _, tag := range st.PredicateTags {
		if !told[tag] {
			names = append(names, tag)
		}
	}
	return few(names)
}

// heading is what a statement is: "Select, BulkSelect  reads public.customers".
func heading(st *Statement) string {
	kind := st.Kind
	if kind == "" {
		kind = "Not understood"
	}
	for _, f := range st.Features {
		kind += ", " + f.Name
	}
	parts := []string{kind}
	for _, use := range []struct{ access, verb string }{{"Read", "reads"}, {"Write", "writes"}, {"Define", "defines"}, {"", "uses"}} {
		var names []string
		for _, rel := range st.Relations {
			if rel.Access == use.access {
				names = append(names, visible(rel.Name))
			}
		}
		if len(names) > 0 {
			parts = append(parts, use.verb+" "+strings.Join(names, ", "))
		}
	}
	return strings.Join(parts, "  ")
}

// decider is who decided: "data/reporting, rule read".
func decider(r *Report) string {
	switch {
	case strings.HasPrefix(r.Rule, "guard "):
		return strings.TrimPrefix(r.Policy+", "+r.Rule, ", ")
	case r.Rule != "":
		return strings.TrimPrefix(r.Policy+", rule "+r.Rule, ", ")
	case r.Policy != "":
		return r.Policy
	default:
		return "no rule allows it"
	}
}

// cell is a line about a column or a part of it, and what becomes of it.
type cell struct {
	what, why string
	masked    bool
}

// cells aligns number, name, type and origin of columns. The parts of a structured value stand below it.
func cells(columns []Column) []cell {
	var name, kind, origin, path int
	for i := range columns {
		c := &columns[i]
		name = max(name, utf8.RuneCountInString(visible(c.Name)))
		kind = max(kind, utf8.RuneCountInString(visible(c.Type)))
		origin = max(origin, utf8.RuneCountInString(visible(from(c))))
		for _, part := range c.Inside {
			path = max(path, utf8.RuneCountInString(visible(part.Path)))
		}
	}
	var out []cell
	for i := range columns {
		c := &columns[i]
		row := fmt.Sprintf("%3d  %s  %s", i+1, pad(visible(c.Name), name), pad(visible(c.Type), kind))
		if origin > 0 {
			row += "  " + pad(visible(from(c)), origin)
		}
		out = append(out, cell{row, c.Why, c.Mask != ""})
		for _, part := range c.Inside {
			row := "       " + pad(visible(part.Path), path) + "  " + visible(origins(part.Sources, true))
			out = append(out, cell{row, part.Why, part.Mask != ""})
		}
	}
	return out
}

// from says where a column's values come from.
func from(c *Column) string {
	tags := strings.Join(c.Tags, ", ")
	switch {
	case c.Source != "" && tags != "":
		return c.Source + " (" + tags + ")"
	case c.Source != "":
		return c.Source
	case len(c.Inside) > 0:
		return "made of " + few(relations(c.Sources))
	case len(c.Sources) > 0:
		return origins(c.Sources, false)
	case tags != "":
		return "from " + tags
	default:
		return "computed"
	}
}

// relations are those of the sources; what is known of a structured value's columns stands beside its parts.
func relations(sources []Source) []string {
	var names []string
	for _, s := range sources {
		name := s.Column[:max(0, strings.LastIndexByte(s.Column, '.'))]
		if name == "" {
			name = "what is not known"
		}
		names = addOnce(names, name)
	}
	return names
}

// origins says which columns a value comes from, tagged ones first: "from" those that it is computed of, "by" those that choose it.
// Of a part of a value only the tagged ones are of interest.
func origins(sources []Source, onlyTagged bool) string {
	var tagged, plain []string
	for _, s := range sources {
		text := s.Column
		if text == "" {
			text = "what is not known"
		}
		switch s.How {
		case "condition":
			text = "by " + text
		case "derived":
			text = "from " + text
		}
		if len(s.Tags) == 0 {
			plain = append(plain, text)
			continue
		}
		tagged = append(tagged, text+" ("+strings.Join(s.Tags, ", ")+")")
	}
	if onlyTagged {
		return few(tagged)
	}
	return few(append(tagged, plain...))
}

// fewest is how many names a line has before it says how many more there are.
const fewest = 3

func few(names []string) string {
	if len(names) <= fewest {
		return strings.Join(names, ", ")
	}
	return strings.Join(names[:fewest], ", ") + fmt.Sprintf(" and %d more", len(names)-fewest)
}

// words prints what a client would read besides the decision.
func (p *printer) words(r *Report) {
	if r.What != "" && len(r.Statements) > 0 {
		p.line("  %s", visible(r.What))
	}
	if r.Position > 0 {
		p.line("  at character %d", r.Position)
	}
	if r.Detail != "" {
		p.line("  %s", visible(r.Detail))
	}
	if r.Hint != "" {
		p.line("  hint: %s", visible(r.Hint))
	}
	for _, f := range r.Flags {
		p.line("  flagged: %s", visible(f))
	}
}

// bounds prints limits and approval.
func (p *printer) bounds(r *Report) {
	if l := r.Limits; l != nil {
		var parts []string
		if s := bound(l.RowsPerStatement, l.BytesPerStatement); s != "" {
			parts = append(parts, s+" per statement")
		}
		if s := bound(l.RowsPerHour, l.BytesPerHour); s != "" {
			parts = append(parts, s+" per hour")
		}
		then := ""
		if l.OnExceed == access.RequireApproval.String() {
			then = ", then approval"
		}
		p.line("  limits: %s%s (rule %s)", strings.Join(parts, "; "), then, visible(l.Rule))
	}
	if b := r.Probes; b != nil {
		for _, each := range []struct {
			bound  *access.Bound
			window string
		}{{b.PerSession, "session"}, {b.PerHour, "hour"}} {
			if each.bound != nil {
				p.line("  probes: %s distinct ones per %s (policy %s)", thousands(each.bound.Most), each.window, visible(each.bound.Policy))
			}
		}
	}
	if a := r.Approval; a != nil {
		approvers := "1 approver"
		if a.Approvers != 1 {
			approvers = thousands(int64(a.Approvers)) + " approvers"
		}
		p.line("  approval: %s within %s, for %s", approvers, duration(a.TimeoutSeconds), grant(a.Grant))
	}
}

// duration writes seconds in the largest unit that they are a whole number of.
func duration(seconds int64) string {
	switch {
	case seconds%3600 == 0:
		return thousands(seconds/3600) + " h"
	case seconds%60 == 0:
		return thousands(seconds/60) + " min"
	default:
		return thousands(seconds) + " s"
	}
}

// grant says what an approval is for.
func grant(g string) string {
	switch g {
	case "Statement":
		return "this statement"
	case "Session":
		return "the rest of the session"
	default:
		return visible(g)
	}
}

func bound(rows, bytes int64) string {
	var parts []string
	if rows > 0 {
		parts = append(parts, thousands(rows)+" rows")
	}
	if bytes > 0 {
		parts = append(parts, size(bytes))
	}
	return strings.Join(parts, " and ")
}

// thousands writes a number with separators.
func thousands(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// size writes a number of bytes in the largest unit that it is a whole number of.
func size(n int64) string {
	for _, unit := range []struct {
		name  string
		bytes int64
	}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if n%unit.bytes == 0 {
			return thousands(n/unit.bytes) + " " + unit.name
		}
	}
	return thousands(n) + " bytes"
}

func pad(s string, width int) string {
	return s + strings.Repeat(" ", max(0, width-utf8.RuneCountInString(s)))
}

// visible writes a text that others chose with nothing in it that a terminal would obey.
func visible(s string) string {
	quoted := strconv.QuoteToGraphic(s)
	return strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(quoted[1 : len(quoted)-1])
}
