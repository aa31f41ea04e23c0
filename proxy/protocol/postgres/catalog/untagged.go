package catalog

import (
	"maps"
	"slices"
)

// Untagged returns a snapshot for statements that read some columns masked: those
// whose tags strip reports carry none there. Everything else is as in s, AllTags
// included, since what is not known may still carry any. Columns keep their place.
func (s *Snapshot) Untagged(strip func(tags []string) bool) *Snapshot {
	out := *s
	out.memo = &memo{} // what was computed of s need not be true of it
	out.real = s.Real()
	out.memo = &memo{} // what was computed of s need not be true of it
	out.relations, out.named, out.tags = maps.Clone(s.relations), make(map[string][]*Relation, len(s.named)), maps.Clone(s.tags)
	for oid, r := range s.relations {
		if len(r.Tags) > 0 {
			out.relations[oid] = out.untag(*r, strip)
		}
	}
	for name, list := range s.named {
		same := make([]*Relation, 0, len(list))
		for _, r := range list {
			same = append(same, out.relations[r.OID])
		}
		out.named[name] = same
	}
	return &out
}

// Real returns the snapshot that an Untagged one was made of, otherwise s: it is what
// code inside the database sees, such as the body of a function, whose text nobody
// rewrites.
func (s *Snapshot) Real() *Snapshot {
	if s == nil || s.real == nil {
		return s
	}
	return s.real
}

// untag takes tags off the columns of a copy of a relation.
func (s *Snapshot) untag(r Relation, strip func(tags []string) bool) *Relation {
	r.Columns, r.Tags = slices.Clone(r.Columns), nil
	for i := range r.Columns {
		c := &r.Columns[i]
		if len(c.Tags) > 0 && strip(c.Tags) {
			c.Tags = nil
			delete(s.tags, attribute{r.OID, c.Num})
		}
		r.Tags = Union(r.Tags, c.Tags)
	}
	if s.tags[attribute{r.OID, 0}] = r.Tags; len(r.Tags) == 0 {
		delete(s.tags, attribute{r.OID, 0})
	}
	return &r
}
