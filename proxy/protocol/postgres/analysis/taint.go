package analysis

import (
	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/catalog"
)

// Write is a place that a statement puts values with tags into that it does not carry
// itself. Where policy lets such a statement run, the tags have to follow.
type Write struct {
	// Relation and Number of the column; 0 where it is not certain which it is. Then
	// every column of the relations of that schema and name is meant, and an empty
	// Schema means any.
	Relation     uint32
	Number       int16
	Schema, Name string
	Tags         []string
}

// taint records that the named column of a target gets a value with tags. A name that
// is not certain, "" too, is every column.
func (a *analyzer) taint(target *source, name string, tags []string) {
	if len(tags) == 0 {
		return
	}
	at := -1
	if !target.open {
		at = indexOf(target.columns, name)
	}
	if at >= 0 && target.columns[at].relation != 0 {
		if c := &target.columns[at]; !catalog.Contains(c.tags, tags) {
			a.out.Writes = append(a.out.Writes, Write{Relation: c.relation, Number: c.number, Tags: tags})
		}
		return
	}
	relation := target.real
	if relation == "" {
		relation = target.alias
	}
	a.out.Writes = append(a.out.Writes, Write{Schema: permanent(target.schema), Name: relation, Tags: tags})
	target.rest = target.rest.and(flow{tags: tags}.derived()) // RETURNING shows it
	a.effect(DropName, relation)                              // a table of this session's own is free of them no longer
}

// taintNew records that a new relation is made of values with tags. One that is
// temporary is of unknown content to its session, and unknown to others.
func (a *analyzer) taintNew(schema, name string, tags []string) {
	if schema != "pg_temp" {
		a.out.Writes = append(a.out.Writes, Write{Schema: schema, Name: name, Tags: tags})
	}
}

// taintAll records that everything which the statement writes may get everything.
func (a *analyzer) taintAll() {
	for _, r := range a.resources {
		if r.Access == access.AccessWrite || r.Access == access.AccessDefine {
			a.out.Writes = append(a.out.Writes, Write{Schema: permanent(r.Schema), Name: r.Name, Tags: a.cat.AllTags()})
			a.effect(DropName, r.Name)
		}
	}
}

// permanent is the schema in which the catalog would list a relation of that name:
// what is said to be temporary may be something else to another session.
func permanent(schema string) string {
	if schema == "pg_temp" {
		return ""
	}
	return schema
}

// Under is the statement as it is to be taken under a catalog. Where tags have been
// put on columns since it was analyzed, its text is not there to be read again, and
// any value may be a tagged one.
func (s *Statement) Under(cat *catalog.Snapshot) *Statement {
	if s.epoch == cat.Epoch || !cat.AnyTagged() {
		return s
	}
	old := *s
	old.Touches, old.Derived, old.Outputs, old.origins = true, cat.AllTags(), nil, nil
	old.Tags = cat.AllTags()
	if old.Copy != nil {
		c := *old.Copy
		c.Columns = nil
		old.Copy = &c
	}
	return &old
}
