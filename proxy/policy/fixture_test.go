package policy_test

import (
	"bytes"
	"crypto/ed25519"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/controllers/compile"
	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/policy"
)

// The bundles of these tests are made by their real maker. Only tests may import
// it: the package itself shares nothing with it but the bundle's format.

const reporting = `
metadata: {name: reporting, namespace: data}
spec:
  dataSources: [{name: orders}]
  subjects: [{namespaceSelector: {}}]
  mode: Enforce
  rules:
  - {name: read, action: Allow, statements: [Select, Update], tables: ["public.orders", "public.customers", "app_*.*"],
     limits: {rowsPerStatement: 1000, bytesPerHour: 100Mi, onExceed: RequireApproval}, approval: {timeout: 1h, approvers: 2, grant: 1h}}
  - {name: state, action: Allow, statements: [Transaction, Session]}
  - {name: exports, action: RequireApproval, statements: [CopyOut, BulkSelect], approval: {timeout: 15m}}
  - {name: no-payroll, action: Deny, statements: ["*"], tables: ["*.payroll"]}
  masks:
  - {tags: ["pii/*"], strategy: Redact}
  - {tags: [pii/email], strategy: Partial, keepDomain: true}
  predicates: Flag
  rego: |
    package tidewaiter.custom

    deny contains "reports are not made by process 13" if input.identity.process.pid == 13
`

var (
	noon   = time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)
	signer = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))
	caller = access.Identity{Namespace: "shop", ServiceAccount: "report-agent", Pod: "report-7d9f", Labels: map[string]string{"app": "report", "team": "shop"}}
)

// made is a bundle that the options of trusting accept.
func made(t testing.TB, change ...func(*compile.Input)) []byte {
	t.Helper()
	return madeOf(t, reporting, change...)
}

func madeOf(t testing.TB, manifest string, change ...func(*compile.Input)) []byte {
	t.Helper()
	var p v1alpha1.AccessPolicy
	if err := yaml.UnmarshalStrict([]byte(manifest), &p); err != nil {
		t.Fatal(err)
	}
	ds := &v1alpha1.DataSource{}
	ds.Namespace, ds.Name = "data", "orders"
	ds.Spec.AllowedNamespaces.Selector = &v1alpha1.LabelSelector{}
	in := compile.Input{
		DataSource: ds, Policies: []v1alpha1.AccessPolicy{p},
		Subject:  compile.Subject{Namespace: "shop", ServiceAccount: "report-agent"},
		Revision: 17, NotAfter: noon.Add(time.Hour), Audience: "pod-1", Key: signer,
	}
	for _, c := range change {
		c(&in)
	}
	raw, err := compile.Bundle(in)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// trusting are options whose clock stands at noon.
func trusting(change ...func(*policy.Options)) policy.Options {
	o := policy.Options{
		PublicKey: signer.Public().(ed25519.PublicKey), Audience: "pod-1",
		Now: func() time.Time { return noon },
		// Tests run beside others: what they show is no matter of speed.
		Deadline: 10 * time.Second,
	}
	for _, c := range change {
		c(&o)
	}
	return o
}

func loaded(t testing.TB) *policy.Engine {
	t.Helper()
	e, err := policy.Load(made(t), trusting())
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func operation(statements ...access.Statement) *access.Operation {
	return &access.Operation{Protocol: "postgres", DataSource: "data/orders", Phase: access.PhaseRun, Statements: statements}
}

func read(tables ...string) access.Statement {
	s := access.Statement{Kind: "Select"}
	for _, name := range tables {
		s.Resources = append(s.Resources, access.Resource{Schema: "public", Name: name, Access: access.AccessRead})
	}
	return s
}

// reportOnCustomers is a statement that uses most of what a policy can see.
func reportOnCustomers() access.Statement {
	s := read("customers", "orders")
	s.Resources[0].Tags = []string{"pii/email", "pii/ssn"}
	s.Tags = []string{"pii/email"}
	s.PredicateTags, s.Predicates = []string{"pii/ssn"}, []string{"Equality"}
	s.Functions = []string{"pg_catalog.count", "pg_catalog.upper"}
	return s
}
