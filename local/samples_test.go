package local_test

import (
	"testing"

	"github.com/tidewaiter/tidewaiter/api/manifest"
	"github.com/tidewaiter/tidewaiter/local"
	"github.com/tidewaiter/tidewaiter/proxy/access"
)

func TestTheSamplesCanBeTried(t *testing.T) {
	set, err := manifest.Load("../config/samples")
	if err != nil {
		t.Fatal(err)
	}
	subject, err := local.ChooseSubject(set, local.SubjectRequest{})
	if err != nil {
		t.Fatal(err)
	}
	source, err := local.Open(local.Options{Set: set, Subject: subject})
	if err != nil {
		t.Fatal(err)
	}
	tables := func(names ...string) *access.Operation {
		op := &access.Operation{Protocol: "postgres", DataSource: source.Name, Phase: access.PhaseRun, Text: "select"}
		op.Statements = []access.Statement{{Kind: "Select"}}
		for _, name := range names {
			op.Statements[0].Resources = append(op.Statements[0].Resources, access.Resource{Schema: "public", Name: name, Access: access.AccessRead})
		}
		return op
	}
	for _, c := range []struct {
		tables []string
		want   access.Effect
	}{
		{[]string{"orders", "customers"}, access.Allow},
		{[]string{"payments"}, access.Deny},
		{[]string{"orders", "customers", "products", "payments"}, access.Deny},
	} {
		d, err := source.Decider.Decide(t.Context(), source.Identity, tables(c.tables...))
		if err != nil || d.Effect != c.want {
			t.Errorf("%v: %v (%s), %v; want %v", c.tables, d.Effect, d.Reason, err, c.want)
		}
	}
}
