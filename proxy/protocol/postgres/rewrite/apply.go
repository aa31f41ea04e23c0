package rewrite

import (
	"slices"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/analysis"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/catalog"
)

// Apply returns the facts of a text as it runs under the plan: the text in
// Result.Runs, and facts in which masked columns carry no tags, since a statement
// sees masks there. plain are the facts of the client's own text, which are returned
// where nothing in it is masked at the source. The error is an *analysis.Refusal,
// and nothing of the text may be forwarded then.
func (p *Plan) Apply(text string, st *analysis.State, plain *analysis.Result, opt analysis.Options) (*analysis.Result, error) {
	if p == nil || !p.concerns(plain) {
		return plain, nil
	}
	t := p.text(text, plain)
	runs, parts := text, []string(nil)
	if len(t.named) > 0 {
		var err error
		if runs, parts, err = t.rewrite(p.real.Server, opt.Limits); err != nil {
			return nil, err
		}
	}
	out, err := analysis.Analyze(text, st, p.Catalog, opt)
	if err != nil {
		return nil, err
	}
	if runs != text {
		out.Runs, out.Parts = runs, parts
	}
	var masked []analysis.Masked
	for _, m := range t.masked {
		masked = append(masked, m)
	}
	slices.SortFunc(masked, func(a, b analysis.Masked) int { return int(int64(a.Relation) - int64(b.Relation)) })
	for i := range out.Statements {
		s := &out.Statements[i]
		s.Rewritten = out.Runs != ""
		var before *analysis.Statement
		if len(out.Statements) == len(plain.Statements) {
			before = &plain.Statements[i]
		}
		p.complete(s, before, masked)
		if err := p.current(t, s); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// concerns reports whether a text uses something that is masked at the source.
func (p *Plan) concerns(r *analysis.Result) bool {
	for i := range r.Statements {
		s := &r.Statements[i]
		if slices.ContainsFunc(s.References, func(ref analysis.Reference) bool { return p.masked(ref.Relation) }) {
			return true
		}
		for _, facts := range s.Facts() {
			if slices.ContainsFunc(facts.Resources, func(r access.Resource) bool { return p.masked(p.real.Lookup(r.Schema, r.Name)) }) {
				return true
			}
		}
	}
	return false
}

// text finds the places of masked relations. Two relations at one place are none
// for certain.
func (p *Plan) text(client string, plain *analysis.Result) *text {
	t := &text{plan: p, client: client, named: map[int]*analysis.Reference{}, done: map[int]bool{}, masked: map[uint32]analysis.Masked{}}
	for i := range plain.Statements {
		for _, ref := range plain.Statements[i].References {
			if p.masked(ref.Relation) {
				if before := t.named[ref.Location]; before != nil && before.Relation.OID != ref.Relation.OID {
					ref.Certain = false
				}
				t.named[ref.Location] = &ref
			}
		}
	}
	return t
}

// complete says in a statement's facts what it uses in truth: the relations' own
// tags, and what policy has to know of them. The values it sees are masked, but an
// error that the server raises below the masks may hold a real one.
func (p *Plan) complete(s, plain *analysis.Statement, masked []analysis.Masked) {
	s.Masked = append(slices.Clip(s.Masked), masked...)
	s.Touches = s.Touches || p.retag(&s.Statement)
	for i := range s.Inner {
		s.Touches = p.retag(&s.Inner[i]) || s.Touches
	}
	if plain != nil {
		s.Tags = catalog.Union(s.Tags, plain.Tags)
		s.Touches = s.Touches || plain.Touches
	}
	for i := range s.Effects {
		e := &s.Effects[i]
		if e.Statement == nil {
			continue
		}
		var before *analysis.Statement
		if plain != nil && len(plain.Effects) == len(s.Effects) {
			before = plain.Effects[i].Statement
		}
		p.complete(e.Statement, before, masked)
	}
}

// retag puts the relations' own tags back, and reports whether any is masked at the
// source.
func (p *Plan) retag(facts *access.Statement) (any bool) {
	for i := range facts.Resources {
		r := p.real.Lookup(facts.Resources[i].Schema, facts.Resources[i].Name)
		if p.masked(r) {
			facts.Resources[i].Tags, any = catalog.Union(facts.Resources[i].Tags, r.Tags), true
		}
	}
	return any
}

// Current refuses statements, of which only the facts are known, that were prepared
// under other masks than the plan's. The error is an *analysis.Refusal.
func (p *Plan) Current(statements []analysis.Statement) error {
	if p == nil {
		for i := range statements {
			if len(statements[i].Masked) > 0 {
				return preparedOtherwise("a table")
			}
		}
		return nil
	}
	none := &text{}
	for i := range statements {
		if err := p.current(none, &statements[i]); err != nil {
			return err
		}
	}
	return nil
}

func preparedOtherwise(what string) error {
	return &analysis.Refusal{
		Code: "0A000", Message: "tidewaiter: what this runs was prepared when " + what + " was masked otherwise",
		Hint: "Prepare the statement again. A function that reads it by itself cannot run at all.",
	}
}

// current refuses an EXECUTE or FETCH of what was prepared under other masks, or
// before the relation's columns changed: what it runs reads through those.
func (p *Plan) current(t *text, s *analysis.Statement) error {
	for _, facts := range s.Facts() {
		for _, used := range facts.Resources {
			r := p.real.Lookup(used.Schema, used.Name)
			if used.Access != access.AccessRead || !p.masked(r) || t.names(r) {
				continue
			}
			now := p.view(r).whole
			known := false
			for _, m := range s.Masked {
				if m.Relation == r.OID && m.Text != now {
					known = false
					break
				}
				known = known || m.Relation == r.OID
			}
			if !known {
				return preparedOtherwise(title(r))
			}
		}
	}
	return nil
}

// names reports whether the text itself names a relation.
func (t *text) names(r *catalog.Relation) bool {
	for _, ref := range t.named {
		if ref.Relation.OID == r.OID {
			return true
		}
	}
	return false
}
