package catalog

import (
	"errors"
	"slices"
	"strconv"

	"github.com/jackc/pgx/v5/pgconn"
)

// use is one relation column, or one user function, that a view is made of.
type use struct {
	relation uint32
	column   int16 // 0 = the relation itself
	function string
}

// view is what is known of a view before its columns are tagged.
type view struct {
	uses      []use
	wholeRow  bool // a whole row of something occurs in it
	statistic bool // it reads the planner's statistics directly
	done      bool
	open      bool // being resolved: a cycle of views, which PostgreSQL allows through rules
}

// spreadOverViews lets the server attest what the columns of views are: each
// view that depends on something tagged is prepared from its own definition, and
// the RowDescription names the origin of every plain column. Columns of unknown
// origin carry the union of what the view uses.
func (l *loader) spreadOverViews() error {
	views, err := l.readViews()
	if err != nil || len(l.allTags) == 0 {
		return err
	}
	own := map[attribute][]string{} // the tags of a view's own columns, by patterns
	for oid := range views {
		for _, c := range l.relations[oid].Columns {
			own[attribute{oid, c.Num}] = c.Tags
		}
	}
	for _, oid := range l.order {
		if views[oid] != nil {
			if err := l.resolveView(oid, views); err != nil {
				return err
			}
		}
	}
	if l.options.Views == nil {
		return nil
	}
	return l.narrowViews(views, own)
}

// narrowViews asks Options.Views about each view with tags, those that it is built
// on first. An answer counts where it lies within what the server's attestation
// allows; elsewhere both count. A materialized view that calls functions holds what
// they returned when it was filled, whatever they do now.
func (l *loader) narrowViews(views map[uint32]*view, own map[attribute][]string) error {
	s := New(0, l.finish())
	for _, oid := range l.viewOrder {
		r, v := l.relations[oid], views[oid]
		if len(columnTags(r, 0)) == 0 || r.Kind == 'm' && v.calls() {
			continue
		}
		text, err := l.viewText(oid)
		if err != nil {
			return err
		}
		columns, certain := l.options.Views(text, s, l.options.Trusted)
		if !certain || len(columns) != len(r.Columns) {
			continue
		}
		for i := range r.Columns {
			c := &r.Columns[i]
			if Contains(c.Tags, columns[i]) {
				c.Tags = Union(own[attribute{oid, c.Num}], columns[i])
			} else {
				c.Tags = Union(c.Tags, columns[i])
			}
		}
		s.retag(r)
	}
	return nil
}

// calls reports whether a view calls functions of users.
func (v *view) calls() bool {
	for _, u := range v.uses {
		if u.function != "" {
			return true
		}
	}
	return false
}

// retag gives a relation of a snapshot that nobody else has yet other tags.
func (s *Snapshot) retag(r *Relation) {
	known := s.relations[r.OID]
	known.Columns, known.Tags = slices.Clone(r.Columns), nil
	for _, c := range r.Columns {
		delete(s.tags, attribute{r.OID, c.Num})
		if len(c.Tags) > 0 {
			s.tags[attribute{r.OID, c.Num}] = c.Tags
			known.Tags = Union(known.Tags, c.Tags)
		}
	}
	delete(s.tags, attribute{r.OID, 0})
	if len(known.Tags) > 0 {
		s.tags[attribute{r.OID, 0}] = known.Tags
	}
}

func (l *loader) readViews() (map[uint32]*view, error) {
	views := map[uint32]*view{}
	err := l.read(queryViewTrees, maxRows, func(row []string) error {
		var n numbers
		oid := n.oid(row[0])
		if r := l.relations[oid]; r != nil && !systemSchema(r.Schema) {
			views[oid] = &view{wholeRow: row[1] == "t", statistic: row[2] == "t"}
		}
		return n.err
	})
	if err != nil {
		return nil, err
	}
	err = l.read(queryViewUses, maxRows, func(row []string) error {
		var n numbers
		v := views[n.oid(row[0])]
		if v == nil {
			return n.err
		}
		u := use{relation: n.oid(row[1]), column: n.small(row[2])}
		if u.column < 0 {
			u = use{function: row[3]}
		}
		v.uses = append(v.uses, u)
		return n.err
	})
	return views, err
}

// resolveView tags the columns of a view, those that it is built on first.
func (l *loader) resolveView(oid uint32, views map[uint32]*view) error {
	v, r := views[oid], l.relations[oid]
	if v == nil || v.done || r == nil {
		return nil
	}
	if v.open {
		l.tagAll(r, l.allTags)
		return nil
	}
	v.open = true
	defer func() {
		v.open, v.done = false, true
		l.viewOrder = append(l.viewOrder, oid)
	}()
	for _, u := range v.uses {
		if err := l.resolveView(u.relation, views); err != nil {
			return err
		}
	}
	r.Version = mix(r.Version, l.versionsUnder(v))
	carried, touches := l.carriedBy(v)
	if !touches {
		return nil
	}
	r.Reads = true
	return l.attest(r, carried)
}

// versionsUnder is made of the versions of what a view is built on, in no order. They
// are resolved before it.
func (l *loader) versionsUnder(v *view) int64 {
	var sum uint64
	for _, u := range v.uses {
		if r := l.relations[u.relation]; r != nil {
			sum += mix(14695981039346656037, int64(r.Version))
		}
	}
	return int64(sum)
}

// carriedBy returns the tags that a computed column of the view may carry, and
// whether anything that the view is built on is tagged at all.
func (l *loader) carriedBy(v *view) (tags []string, touches bool) {
	if v.statistic {
		tags, touches = l.allTags, true
	}
	for _, u := range v.uses {
		if u.function != "" {
			if !l.trusted[u.function] { // it may read anything
				tags, touches = l.allTags, true
			}
			continue
		}
		r := l.relations[u.relation]
		if r == nil {
			continue
		}
		whole := columnTags(r, 0)
		touches = touches || len(whole) > 0 || r.Reads
		switch {
		case v.wholeRow:
			tags = Union(tags, whole)
		case u.column != 0:
			tags = Union(tags, columnTags(r, u.column))
		}
	}
	return tags, touches
}

// attest prepares the view's definition and tags each of its columns by origin.
// A definition that cannot be prepared tags them all.
func (l *loader) attest(r *Relation, carried []string) error {
	fields, err := l.describeView(r.OID)
	var refused *pgconn.PgError
	switch {
	case errors.As(err, &refused):
		l.tagAll(r, l.wholeUnion(carried))
		return nil
	case err != nil:
		return err
	}
	if len(fields) != len(r.Columns) {
		l.tagAll(r, l.wholeUnion(carried))
		return nil
	}
	for i := range fields {
		tags := carried
		if origin := l.relations[fields[i].TableOID]; origin != nil {
			tags = columnTags(origin, int16(fields[i].TableAttributeNumber))
		}
		r.Columns[i].Tags = Union(r.Columns[i].Tags, tags)
	}
	return nil
}

// wholeUnion is what a view that nothing is known of may carry.
func (l *loader) wholeUnion(carried []string) []string { return Union(carried, l.allTags) }

func (l *loader) viewText(oid uint32) (text string, err error) {
	err = l.read(queryViewText, 1, func(row []string) error {
		text = row[0]
		return nil
	}, strconv.FormatUint(uint64(oid), 10))
	return text, err
}

func (l *loader) describeView(oid uint32) ([]pgconn.FieldDescription, error) {
	text, err := l.viewText(oid)
	if err != nil {
		return nil, err
	}
	if err := l.run("SAVEPOINT definition"); err != nil {
		return nil, err
	}
	described, err := l.conn.Prepare(l.ctx, "", text, nil)
	if err != nil {
		if undo := l.run("ROLLBACK TO SAVEPOINT definition"); undo != nil {
			return nil, undo
		}
		return nil, err
	}
	return described.Fields, nil
}

func (l *loader) tagAll(r *Relation, tags []string) {
	for i := range r.Columns {
		r.Columns[i].Tags = Union(r.Columns[i].Tags, tags)
	}
}
