package local_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/controllers/compile"
	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/policy"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/analysis"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/catalog"
)

// A new decision is what a statement costs whose like was never met: it is read,
// analyzed and decided by OPA. Here alone all three come together.

const shopPolicy = `
metadata: {name: shop, namespace: data}
spec:
  dataSources: [{name: shop}]
  subjects: [{namespaceSelector: {}}]
  mode: Enforce
  rules:
  - {name: app, action: Allow, statements: ["*"], tables: ["public.*"], limits: {rowsPerStatement: 10000}}
  - {name: state, action: Allow, statements: [Transaction, Session]}
  - {name: exports, action: RequireApproval, statements: [CopyOut, BulkSelect], approval: {timeout: 15m}}
  - {name: no-payroll, action: Deny, statements: ["*"], tables: ["*.payroll"]}
  masks:
  - {tags: ["pii/*"], strategy: Redact}
  - {tags: [pii/email], strategy: Partial, keepDomain: true}
  predicates: Flag
`

// typical are statements with what a new decision of each may allocate at most.
// Allocations do not depend on the machine; they were 1,580 for the first before
// the Rego library was made to ask only of the rules that match.
var typical = []struct {
	name, text string
	allocs     float64
}{
	{"point select", `SELECT total FROM orders WHERE id = $1`, 1400},
	{"update", `UPDATE orders SET total = total + $1 WHERE id = $2`, 1400},
	{"insert", `INSERT INTO orders (id, customer_id, total) VALUES ($1, $2, $3)`, 1400},
	{"join with masks", `SELECT c.name, c.email, o.total FROM orders o JOIN customers c ON c.id = o.customer_id WHERE o.id = $1`, 1760},
	{"report", `WITH recent AS (SELECT customer_id, sum(total) AS spent FROM orders GROUP BY 1)
		SELECT c.name, r.spent, upper(c.email) FROM recent r JOIN customers c ON c.id = r.customer_id
		WHERE c.name LIKE 'a%' AND c.id BETWEEN 1 AND 100 ORDER BY r.spent DESC NULLS LAST LIMIT 10`, 2020},
}

// decider returns a function that decides a text anew each time.
func decider(t testing.TB) func(text string) {
	t.Helper()
	engine := shopEngine(t)
	column := func(name string, num int16, tags ...string) catalog.Column {
		return catalog.Column{Name: name, Num: num, TypeOID: 25, Tags: tags}
	}
	snapshot := catalog.New(1, catalog.Content{
		SearchPath: []string{"pg_catalog", "public"}, Schemas: []string{"pg_catalog", "public"},
		Relations: []catalog.Relation{
			{OID: 100, Schema: "public", Name: "customers", Kind: 'r', Columns: []catalog.Column{column("id", 1), column("name", 2), column("email", 3, "pii/email")}},
			{OID: 101, Schema: "public", Name: "orders", Kind: 'r', Columns: []catalog.Column{column("id", 1), column("customer_id", 2), column("total", 3)}},
		},
	})
	caller := access.Identity{Namespace: "shop", ServiceAccount: "web", Pod: "web-7d9f", Labels: map[string]string{"app": "web"}}
	return func(text string) {
		result, err := analysis.Analyze(text, &analysis.State{}, snapshot, analysis.Options{})
		if err != nil {
			t.Fatal(err)
		}
		op := &access.Operation{Protocol: "postgres", DataSource: "data/shop", Phase: access.PhaseRun, Text: text}
		for i := range result.Statements {
			op.Statements = append(op.Statements, result.Statements[i].Facts()...)
		}
		if d, err := engine.Decide(context.Background(), caller, op); err != nil || d.Effect != access.Allow {
			t.Fatalf("%s: %v by %q (%s), %v", text, d.Effect, d.Rule, d.Reason, err)
		}
	}
}

func shopEngine(t testing.TB) *policy.Engine {
	t.Helper()
	var p v1alpha1.AccessPolicy
	if err := yaml.UnmarshalStrict([]byte(shopPolicy), &p); err != nil {
		t.Fatal(err)
	}
	ds := &v1alpha1.DataSource{}
	ds.Namespace, ds.Name = "data", "shop"
	ds.Spec.AllowedNamespaces.Selector = &v1alpha1.LabelSelector{}
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))
	raw, err := compile.Bundle(compile.Input{
		DataSource: ds, Policies: []v1alpha1.AccessPolicy{p}, Subject: compile.Subject{Namespace: "shop", ServiceAccount: "web"},
		Revision: 1, NotAfter: time.Now().Add(time.Hour), Audience: compile.AudienceLocal, Key: key,
	})
	if err != nil {
		t.Fatal(err)
	}
	engine, err := policy.Load(raw, policy.Options{
		PublicKey: key.Public().(ed25519.PublicKey), Audience: compile.AudienceLocal, Deadline: time.Minute,
	})
	if err != nil {
		t.Fatal(err)
	}
	return engine
}

// BenchmarkNewDecision measures it; the budget is 300 µs. least-ns is the fastest
// of all iterations, which other work on the machine disturbs the least.
func BenchmarkNewDecision(b *testing.B) {
	decide := decider(b)
	for _, s := range typical {
		b.Run(s.name, func(b *testing.B) {
			b.ReportAllocs()
			least := time.Hour
			for b.Loop() {
				begin := time.Now()
				decide(s.text)
				least = min(least, time.Since(begin))
			}
			b.ReportMetric(float64(least.Nanoseconds()), "least-ns")
		})
	}
}

func TestANewDecisionAllocatesNoMoreThanItsBound(t *testing.T) {
	decide := decider(t)
	for _, s := range typical {
		if got := testing.AllocsPerRun(50, func() { decide(s.text) }); got > s.allocs {
			t.Errorf("%s: %.0f allocations, the bound is %.0f", s.name, got, s.allocs)
		}
	}
}
