package catalog

import (
	"fmt"
	"slices"
	"strings"
)

// pattern is a compiled "schema.table.column".
type pattern struct {
	text  string
	parts [3]string
	tags  []string
	hits  int
}

func compilePatterns(classifications []Classification) ([]*pattern, error) {
	var patterns []*pattern
	for _, c := range classifications {
		tags := slices.Clone(c.Tags)
		slices.Sort(tags)
		tags = slices.Compact(tags)
		for _, text := range c.Columns {
			parts := strings.Split(text, ".")
			if len(parts) != 3 {
				return nil, fmt.Errorf("classification %q: write it as schema.table.column, with * where any name matches", text)
			}
			patterns = append(patterns, &pattern{text: text, parts: [3]string(parts), tags: tags})
		}
	}
	if len(patterns) > maxPatterns {
		return nil, fmt.Errorf("more than %d classification patterns", maxPatterns)
	}
	return patterns, nil
}

// classify puts the patterns' tags on the columns that they name, or named before.
// A schema written with * means the owner's schemas, not the system's.
func (l *loader) classify(patterns []*pattern) error {
	for _, oid := range l.order {
		r := l.relations[oid]
		if r.Kind == 't' {
			continue
		}
		for _, p := range patterns {
			l.apply(p, r)
		}
	}
	for _, p := range patterns {
		if p.hits > 0 {
			l.allTags = Union(l.allTags, p.tags)
		} else {
			l.unmatched = append(l.unmatched, p.text)
		}
	}
	l.follow(patterns)
	l.tagSamples()
	return nil
}

func (l *loader) apply(p *pattern, r *Relation) {
	if !match(p.parts[1], r.Name) || !match(p.parts[0], r.Schema) {
		return
	}
	if strings.Contains(p.parts[0], "*") && systemSchema(r.Schema) {
		return
	}
	for i := range r.Columns {
		if c := &r.Columns[i]; !c.Dropped && match(p.parts[2], c.Name) {
			c.Tags = Union(c.Tags, p.tags)
			l.mark(r, c, p)
			p.hits++
		}
	}
}

func systemSchema(name string) bool {
	return name == "information_schema" || strings.HasPrefix(name, "pg_")
}

// match reports whether name fits the pattern, in which "*" stands for any run
// of characters. Linear in the product of both lengths, which identifiers bound.
func match(pattern, name string) bool {
	head, rest, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == name
	}
	if !strings.HasPrefix(name, head) {
		return false
	}
	name = name[len(head):]
	for {
		part, next, more := strings.Cut(rest, "*")
		if !more {
			return strings.HasSuffix(name, part)
		}
		at := strings.Index(name, part)
		if at < 0 {
			return false
		}
		name, rest = name[at+len(part):], next
	}
}

// samples are columns of system relations that hold values of other columns, or
// texts of statements with such values in them: the planner's statistics and the
// activity views. They carry every tag there is.
var samples = map[string][]string{
	"pg_statistic":          {"stavalues1", "stavalues2", "stavalues3", "stavalues4", "stavalues5"},
	"pg_statistic_ext_data": {"stxdmcv", "stxdexpr"},
	"pg_stats":              {"most_common_vals", "histogram_bounds", "most_common_elems", "range_length_histogram", "range_bounds_histogram"},
	"pg_stats_ext":          {"most_common_vals"},
	"pg_stats_ext_exprs":    {"most_common_vals", "histogram_bounds", "most_common_elems", "range_length_histogram", "range_bounds_histogram"},
	"pg_stat_activity":      {"query"},
	"pg_stat_statements":    {"query"},
}

func (l *loader) tagSamples() {
	for _, oid := range l.order {
		r := l.relations[oid]
		columns := samples[r.Name]
		if columns == nil || (r.Schema != "pg_catalog" && r.Name != "pg_stat_statements") {
			continue
		}
		for i := range r.Columns {
			if slices.Contains(columns, r.Columns[i].Name) {
				r.Columns[i].Tags = l.allTags
			}
		}
	}
}
