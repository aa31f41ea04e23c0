package catalog

import "slices"

// mark notes that a pattern named a column, so that the tag stays with the column
// when it, its table or its schema gets another name.
func (l *loader) mark(r *Relation, c *Column, p *pattern) {
	key := attribute{r.OID, c.Num}
	if !slices.Contains(l.marks[key], p.text) {
		l.marks[key] = append(l.marks[key], p.text)
	}
}

// follow puts the tags of patterns on the columns that they named before and do
// not name any more. A column that was dropped and added again has a new number,
// and a table that was made again a new OID: those are for the patterns alone. A
// pattern that the owner withdrew is followed no longer; one that was followed and
// names nothing is still reported as unmatched, because a proxy that starts anew
// would not know what it named.
func (l *loader) follow(patterns []*pattern) {
	if l.previous == nil || l.previous.database != l.database {
		return
	}
	byText := map[string][]*pattern{}
	for _, p := range patterns {
		byText[p.text] = append(byText[p.text], p)
	}
	for key, texts := range l.previous.marks {
		r := l.relations[key.relation]
		if r == nil || r.Kind == 't' {
			continue
		}
		c := columnNumbered(r, key.number)
		if c == nil || c.Dropped {
			continue
		}
		for _, text := range texts {
			for _, p := range byText[text] {
				c.Tags = Union(c.Tags, p.tags)
				l.mark(r, c, p)
				l.allTags = Union(l.allTags, p.tags)
			}
		}
	}
}
