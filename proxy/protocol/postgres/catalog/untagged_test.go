package catalog_test

import (
	"slices"
	"testing"

	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/catalog"
)

func TestUntaggedColumnsCarryNothingAndEverythingElseStays(t *testing.T) {
	ssn, email := []string{"pii/ssn"}, []string{"pii/email"}
	real := catalog.New(1, catalog.Content{Relations: []catalog.Relation{
		{OID: 1, Schema: "public", Name: "c", Kind: 'r', Reads: true, Columns: []catalog.Column{
			{Name: "ssn", Num: 1, Tags: ssn}, {Name: "email", Num: 2, Tags: email}, {Name: "both", Num: 3, Tags: []string{"pii/email", "pii/ssn"}},
		}},
		{OID: 2, Schema: "public", Name: "d", Kind: 'r', Columns: []catalog.Column{{Name: "x", Num: 1, Tags: ssn}}},
	}})
	out := real.Untagged(func(tags []string) bool { return slices.Contains(tags, "pii/ssn") })
	for _, c := range []struct {
		relation uint32
		number   int16
		want     int
	}{{1, 1, 0}, {1, 2, 1}, {1, 3, 0}, {1, 0, 1}, {2, 1, 0}, {2, 0, 0}} {
		if tags, known := out.Origin(c.relation, c.number); len(tags) != c.want || !known {
			t.Errorf("%d.%d carries %v", c.relation, c.number, tags)
		}
	}
	if r := out.Lookup("public", "c"); !slices.Equal(r.Tags, email) || !r.Reads || out.Relation(1) != r {
		t.Errorf("got %+v", r)
	}
	if len(out.AllTags()) != 2 || out.Real() != real || real.Real() != real {
		t.Error("what is not known may still carry every tag, and code inside the database sees the real catalog")
	}
	if tags, _ := real.Origin(1, 1); len(tags) != 1 || len(real.Lookup("public", "d").Tags) != 1 {
		t.Error("the snapshot itself has changed")
	}
}
