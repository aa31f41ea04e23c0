package catalog

import "slices"

// Acquired is a tag that a column has got because values that carry it were written
// there. It stays as long as the column does.
type Acquired struct {
	// Relation and Number of the column. Number 0 is every column. Relation 0: the
	// relations of that schema and name, which may not be there yet; an empty Schema is
	// any of the owner's.
	Relation     uint32
	Number       int16
	Schema, Name string
	Tags         []string
}

// acquire puts acquired tags on their columns. Names that are there by now become
// numbers, so that tags follow a renamed column; what was dropped is forgotten.
func (l *loader) acquire() {
	for _, q := range l.wanted {
		if q.Relation != 0 {
			if r := l.relations[q.Relation]; r != nil {
				l.put(r, q.Number, q.Tags)
			}
			continue
		}
		there := false
		for _, oid := range l.order {
			r := l.relations[oid]
			if r.Kind == 't' || r.Name != q.Name || q.Schema != r.Schema && (q.Schema != "" || systemSchema(r.Schema)) {
				continue
			}
			there = true
			l.put(r, 0, q.Tags)
		}
		if !there {
			l.acquired = append(l.acquired, q)
		}
	}
}

func (l *loader) put(r *Relation, number int16, tags []string) {
	for i := range r.Columns {
		c := &r.Columns[i]
		if c.Dropped || number != 0 && c.Num != number {
			continue
		}
		c.Tags = Union(c.Tags, tags)
		l.allTags = Union(l.allTags, tags)
		key := attribute{r.OID, c.Num}
		if has := l.got[key]; has == nil || !Contains(has, tags) {
			l.got[key] = Union(has, tags)
			l.acquired = append(l.acquired, Acquired{Relation: r.OID, Number: c.Num, Tags: tags})
		}
	}
}

// Acquired returns the acquired tags that the snapshot was made with and that still
// have a column, or may yet get one.
func (s *Snapshot) Acquired() []Acquired { return slices.Clone(s.acquired) }
