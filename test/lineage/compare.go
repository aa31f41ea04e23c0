package main

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/analysis"
)

// comparison is what one statement did on the first database, and what was said of it.
type comparison struct {
	st            statement
	base, written answer
	said          [][]string
	facts         *analysis.Statement
	predicates    []string
	// inferred, laundered: a policy must allow it by name.
	inferred, laundered bool
	find                func(kind, format string, args ...any)
}

// compare runs the statement on the other databases and returns the tags on which each output depends. Where nothing at all differs
// though all tagged values do, it need not run once for each tag.
func (d *databases) compare(ctx context.Context, c *comparison) ([][]string, error) {
	differs := make([][]string, len(c.said))
	same := true
	for _, conn := range d.mixed {
		other, written, err := ask(ctx, conn, c.st.sql, c.st.readBack())
		if err != nil {
			return nil, err
		}
		same = same && other.err == nil && len(other.rows) == len(c.base.rows) && other.tag == c.base.tag && len(written.rows) == len(c.written.rows)
		for i := range differs {
			same = same && sameColumn(c.base.rows, other.rows, i)
		}
		for i := range c.written.fields {
			same = same && sameColumn(c.written.rows, written.rows, i)
		}
	}
	if same {
		return differs, nil
	}
	for t, conn := range d.varied {
		if err := d.compareTag(ctx, c, conn, tags[t], differs); err != nil {
			return nil, err
		}
	}
	return differs, nil
}

func (d *databases) compareTag(ctx context.Context, c *comparison, conn *pgconn.PgConn, tag string, differs [][]string) error {
	other, written, err := ask(ctx, conn, c.st.sql, c.st.readBack())
	if err != nil {
		return err
	}
	told := slices.Contains(c.predicates, tag) || c.inferred
	switch {
	case other.err != nil:
		if !told && !slices.Contains(c.facts.Tags, tag) { // an error is redacted where the statement reads the tag
			c.find(missedRows, "with other values of %s it fails: %s", tag, other.err.Message)
		}
		return nil
	case len(other.rows) != len(c.base.rows) || other.tag != c.base.tag:
		if !told {
			c.find(missedRows, "the number of rows depends on %s: %s and %s", tag, c.base.tag, other.tag)
		}
		return nil
	}
	for i := range differs {
		if sameColumn(c.base.rows, other.rows, i) {
			continue
		}
		differs[i] = append(differs[i], tag)
		if !slices.Contains(c.said[i], tag) && !told && !c.laundered {
			c.find(missed, "column %d depends on %s; lineage says %v", i+1, tag, c.said[i])
		}
	}
	if i := d.launders(c.st, c.written, written, tag); i >= 0 && !told && !c.laundered {
		c.find(missedWrite, "column %s of %s depends on %s", c.written.fields[i].Name, c.st.target, tag)
	}
	return nil
}
