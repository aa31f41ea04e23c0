package main

import (
	"os"
	"testing"
)

// The full run is `make lineage`.
func TestLineageMissesNothingThatExecutionOrAPlanReveals(t *testing.T) {
	const statements = 600
	r, err := lineage(t.Context(), options{seed: 7, n: statements, show: 3}, os.Stdout)
	if err != nil {
		t.Fatal(err)
	}
	if missed := r.missed(); missed > 0 {
		t.Errorf("%d times lineage missed something; see above", missed)
	}
	if r.accepted < statements*4/5 {
		t.Errorf("PostgreSQL took only %d of %d statements", r.accepted, r.made)
	}
	if n := len(r.byKind[notUnderstood]); n > 0 {
		t.Errorf("%d statements were not understood", n)
	}
	if r.over*20 > r.judged {
		t.Errorf("%d of %d columns are masked without need; want less than 5 %%", r.over, r.judged)
	}
	if r.differs < r.columns/10 {
		t.Errorf("only %d of %d columns depend on a tagged value: the statements test nothing", r.differs, r.columns)
	}
}

func TestTheSameSeedMakesTheSameStatement(t *testing.T) {
	for n := range uint64(200) {
		one, other := newMaker(3, n).statement(n), newMaker(3, n).statement(n)
		if one.sql != other.sql {
			t.Fatalf("statement %d: %s and %s", n, one.sql, other.sql)
		}
	}
}
