package policy_test

import (
	"context"
	"maps"
	"testing"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/policy"
)

// Whoever prepares a statement by one answer and has it decided by the other must get the same masks from both.
func TestMasksAreSaidBeforehandAsADecisionSaysThem(t *testing.T) {
	const atSource = `
metadata: {name: source, namespace: data}
spec:
  dataSources: [{name: orders}]
  subjects: [{namespaceSelector: {}}]
  rules: [{name: read, action: Allow, statements: [Select], tables: ["*.*"]}]
  masks:
  - {tags: ["pii/*"], strategy: Redact}
  - {tags: [pii/email], strategy: Partial, keepDomain: true, mode: Source}
  predicates: Allow
`
	decider := policy.NewDecider(trusting())
	if err := decider.Use(madeOf(t, atSource)); err != nil {
		t.Fatal(err)
	}
	masks, revision, err := decider.Masks(context.Background(), []string{"pii/email", "pii/ssn"})
	if err != nil {
		t.Fatal(err)
	}
	d, err := decider.Decide(context.Background(), caller, operation(reportOnCustomers()))
	if err != nil || d.Effect != access.Allow {
		t.Fatalf("%+v, %v", d, err)
	}
	if !maps.Equal(masks, d.Masks) || revision != d.Revision {
		t.Errorf("beforehand %+v of %d, decided %+v of %d", masks, revision, d.Masks, d.Revision)
	}
	if !masks["pii/email"].AtSource() || masks["pii/ssn"].AtSource() {
		t.Errorf("got %+v", masks)
	}
}

func TestWithoutABundleNoMaskIsSaid(t *testing.T) {
	if masks, _, err := policy.NewDecider(trusting()).Masks(context.Background(), []string{"pii/ssn"}); err == nil || masks != nil {
		t.Errorf("got %v, %v", masks, err)
	}
}
