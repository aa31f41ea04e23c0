package catalog

// link says that two relations hold each other's rows.
type link struct{ child, parent uint32 }

// source says that a generated column is computed from another of its table.
type source struct {
	relation     uint32
	column, from int16
}

// spreadOverTables carries tags along inheritance in both directions, by column
// name, into generated columns, and into columns of composite types, until nothing
// changes. Both directions: a
// parent shows its children's rows, and a child's tags must not be lost by
// reading the parent's rows through it.
func (l *loader) spreadOverTables() error {
	var links []link
	l.content.Parents = map[uint32][]uint32{}
	err := l.read(queryInherits, maxRows, func(row []string) error {
		var n numbers
		k := link{n.oid(row[0]), n.oid(row[1])}
		links = append(links, k)
		l.content.Parents[k.child] = append(l.content.Parents[k.child], k.parent)
		return n.err
	})
	if err != nil {
		return err
	}
	var sources []source
	err = l.read(queryGenerated, maxRows, func(row []string) error {
		var n numbers
		sources = append(sources, source{n.oid(row[0]), n.small(row[1]), n.small(row[2])})
		return n.err
	})
	if err != nil {
		return err
	}
	types := make(map[uint32]Type, len(l.content.Types))
	for _, t := range l.content.Types {
		types[t.OID] = t
	}
	for changed := true; changed; {
		changed = false
		for _, k := range links {
			child, parent := l.relations[k.child], l.relations[k.parent]
			if child != nil && parent != nil { // both are nil for a partitioned index
				changed = spread(child, parent) || changed
				changed = spread(parent, child) || changed
			}
		}
		for _, s := range sources {
			changed = l.spreadGenerated(s) || changed
		}
		changed = l.spreadComposites(types) || changed
	}
	return nil
}

// maxTypeDepth bounds how many arrays, domains and ranges are looked through.
const maxTypeDepth = 16

// spreadComposites tags the columns that hold whole rows of something tagged: of a
// type that is a tagged relation's row, or an array or a domain of it.
func (l *loader) spreadComposites(types map[uint32]Type) (changed bool) {
	for _, oid := range l.order {
		r := l.relations[oid]
		for i := range r.Columns {
			c := &r.Columns[i]
			if c.Dropped || c.TypeOID < firstUserOID {
				continue
			}
			of := l.relations[rowRelation(types, c.TypeOID)]
			if of == nil {
				continue
			}
			if tags := columnTags(of, 0); !Contains(c.Tags, tags) {
				c.Tags = Union(c.Tags, tags)
				changed = true
			}
		}
	}
	return changed
}

// firstUserOID: objects below it were made by initdb (FirstNormalObjectId).
const firstUserOID = 16384

// rowRelation is the relation whose rows a type holds, or 0.
func rowRelation(types map[uint32]Type, oid uint32) uint32 {
	for range maxTypeDepth {
		t := types[oid]
		switch {
		case t.Relation != 0:
			return t.Relation
		case t.Base != 0:
			oid = t.Base
		case t.Elem != 0:
			oid = t.Elem
		case t.Sub != 0:
			oid = t.Sub
		default:
			return 0
		}
	}
	return 0
}

func spread(from, to *Relation) (changed bool) {
	for i := range from.Columns {
		c := &from.Columns[i]
		if len(c.Tags) == 0 || c.Dropped {
			continue
		}
		if other := to.Column(c.Name); other != nil && !Contains(other.Tags, c.Tags) {
			other.Tags = Union(other.Tags, c.Tags)
			changed = true
		}
	}
	return changed
}

func (l *loader) spreadGenerated(s source) (changed bool) {
	r := l.relations[s.relation]
	if r == nil {
		return false
	}
	tags := columnTags(r, s.from)
	if c := columnNumbered(r, s.column); c != nil && !Contains(c.Tags, tags) {
		c.Tags = Union(c.Tags, tags)
		return true
	}
	return false
}

// spreadOverToast tags the chunks in which long values of a tagged table are
// stored: a superuser can read them as a table.
func (l *loader) spreadOverToast() error {
	for toast, table := range l.toast {
		from, to := l.relations[table], l.relations[toast]
		if from == nil || to == nil {
			continue
		}
		if c := to.Column("chunk_data"); c != nil {
			c.Tags = Union(c.Tags, columnTags(from, 0))
		}
	}
	return nil
}

func columnNumbered(r *Relation, number int16) *Column {
	for i := range r.Columns {
		if r.Columns[i].Num == number {
			return &r.Columns[i]
		}
	}
	return nil
}

// columnTags returns the tags of a column; number 0 means all of them.
func columnTags(r *Relation, number int16) []string {
	if number == 0 {
		var tags []string
		for _, c := range r.Columns {
			tags = Union(tags, c.Tags)
		}
		return tags
	}
	if c := columnNumbered(r, number); c != nil {
		return c.Tags
	}
	return nil
}
