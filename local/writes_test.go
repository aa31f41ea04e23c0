package local_test

import (
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/local"
	"github.com/tidewaiter/tidewaiter/test/postgrestest"
)

func TestAPolicysProbesAreCounted(t *testing.T) {
	set := shop(t, postgrestest.Shared(t).NewDatabase(t, shopSQL),
		"  masks:", "  predicates: EqualityOnly\n  probes: {perSession: 2, perHour: 3}\n  masks:")
	p := start(t, local.Options{Set: set})
	target := p.Endpoints()[0].ConnectionString()
	conn := connect(t, target)
	for _, c := range []struct{ sql, want string }{
		{"select count(*) from customers where ssn > '1'", "42501"}, // not a probe: denied by its kind
		{"select id from customers where ssn = '078-05-1120'", "1"},
		{"select id from customers where ssn = '219-09-9999'", "2"},
		{"select id from customers where ssn = '078-05-1120' -- again", "1"},
		{"select id from customers where ssn = '100-00-0000'", "42501 tidewaiter: Select on public.customers is denied (policy data/reporting, rule probes)"},
		{"select ssn from customers where id = 1", "*****"},
	} {
		if got := ask(conn, c.sql); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %q, want %q", c.sql, got, c.want)
		}
	}
	other := connect(t, target)
	if got := ask(other, "select id from customers where ssn = '100-00-0001'"); strings.HasPrefix(got, "42501") {
		t.Errorf("the third of the hour: %q", got)
	}
	if got := ask(other, "select id from customers where ssn = '100-00-0002'"); !strings.Contains(got, "rule probes") {
		t.Errorf("the fourth of the hour: %q", got)
	}
}

func TestTagsFollowWhereARuleNamesLaundering(t *testing.T) {
	const copying = "insert into notes select ssn from customers where id = 1"
	database := postgrestest.Shared(t).NewDatabase(t, shopSQL+"CREATE TABLE notes (note text);")
	rules := "rules: [{name: keep, action: Allow, statements: [Insert, Laundering], tables: [public.*]}, "
	for name, c := range map[string]struct {
		changes []string
		copied  string
	}{
		"denied":  {[]string{"rules: [", strings.Replace(rules, ", Laundering", "", 1)}, "42501"},
		"allowed": {[]string{"rules: [", rules}, "0 results"},
	} {
		t.Run(name, func(t *testing.T) {
			p := start(t, local.Options{Set: shop(t, database, c.changes...)})
			target := p.Endpoints()[0].ConnectionString()
			writer, reader := connect(t, target), connect(t, target)
			if got := ask(writer, copying); name == "denied" && !strings.HasPrefix(got, c.copied) || name == "allowed" && strings.HasPrefix(got, "42501") {
				t.Fatalf("%s: %q", copying, got)
			}
			if got := ask(reader, "select max(note) from notes"); name == "allowed" && got != "*****" {
				t.Errorf("read back: %q", got)
			}
			if got := ask(writer, "insert into customers (id, ssn) values (3, '*****')"); !strings.Contains(got, "placeholder") {
				t.Errorf("a placeholder was written: %q", got)
			}
		})
	}
}
