package policy_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/rego"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/policy"
)

// examples are operations of every outcome, as the inputs of policies.
func examples() map[string]*access.Operation {
	bulk := read("orders")
	bulk.Features = []access.Feature{{Name: "BulkSelect"}}
	program := read("orders")
	program.Kind = "CopyOut"
	program.Features = []access.Feature{{Name: "Program", Construct: "COPY … TO PROGRAM", Effect: "It would run a program on the database server."}}
	update := access.Statement{Kind: "Update", Resources: []access.Resource{{Schema: "public", Name: "customers", Access: access.AccessWrite}}}
	catalog := access.Statement{Kind: "Select", Resources: []access.Resource{{Schema: "pg_catalog", Name: "pg_class", Access: access.AccessRead}}}
	return map[string]*access.Operation{
		"allowed":        operation(reportOnCustomers()),
		"written":        operation(update),
		"no tables":      operation(access.Statement{Kind: "Select"}),
		"a catalog":      operation(catalog),
		"held":           operation(bulk),
		"guarded":        operation(program),
		"denied by rule": operation(read("payroll")),
		"no rule":        operation(read("api_keys")),
		"not understood": operation(access.Statement{}),
		"many":           operation(read("orders"), access.Statement{Kind: "Transaction"}, read("api_keys")),
	}
}

// TestOPAGivesTheSameAnswersWithoutUs evaluates the bundle as `opa eval -b
// bundle.tar.gz -i input.json data.tidewaiter.decision` does: by OPA's own loader,
// with none of this package's code and all of OPA's capabilities.
func TestOPAGivesTheSameAnswersWithoutUs(t *testing.T) {
	file := t.TempDir() + "/bundle.tar.gz"
	if err := os.WriteFile(file, made(t), 0o600); err != nil {
		t.Fatal(err)
	}
	opa, err := rego.New(rego.Query("data.tidewaiter.decision"), rego.LoadBundle(file), rego.SkipBundleVerification(true)).
		PrepareForEval(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	e := loaded(t)
	seen := map[access.Effect]int{}
	for name, op := range examples() {
		t.Run(name, func(t *testing.T) {
			got, err := e.Decide(t.Context(), caller, op)
			if err != nil {
				t.Fatal(err)
			}
			results, err := opa.Eval(t.Context(), rego.EvalInput(decoded(t, policy.Input{Identity: caller, Operation: op})))
			if err != nil || len(results) != 1 {
				t.Fatalf("%d results, %v", len(results), err)
			}
			want := plain(t, results[0].Expressions[0].Value)
			if !reflect.DeepEqual(asAnswer(t, got), want) {
				t.Errorf("here %v\nopa  %v", asAnswer(t, got), want)
			}
			seen[got.Effect]++
		})
	}
	if len(seen) != 3 {
		t.Errorf("the examples reach %d of 3 effects", len(seen))
	}
}

// asAnswer writes a decision as the bundle does, leaving out what is not set.
func asAnswer(t *testing.T, d access.Decision) map[string]any {
	t.Helper()
	limits := map[string]any{}
	if d.Limits.Any() {
		limits = map[string]any{"onExceed": d.Limits.OnExceed.String(), "policy": d.Limits.Policy, "rule": d.Limits.Rule}
		for name, n := range map[string]int64{
			"rowsPerStatement": d.Limits.RowsPerStatement, "bytesPerStatement": d.Limits.BytesPerStatement,
			"rowsPerHour": d.Limits.RowsPerHour, "bytesPerHour": d.Limits.BytesPerHour,
		} {
			if n > 0 {
				limits[name] = n
			}
		}
	}
	approval := map[string]any{}
	if d.Approval.Approvers > 0 {
		wait := "Hold"
		if d.Approval.Refuse {
			wait = "Refuse"
		}
		approval = map[string]any{
			"timeoutSeconds": int64(d.Approval.Timeout / time.Second), "approvers": d.Approval.Approvers, "grant": d.Approval.Grant,
			"transactionTimeoutSeconds": int64(d.Approval.TransactionTimeout / time.Second), "wait": wait, "rules": d.Approval.Rules,
		}
	}
	masks := map[string]any{}
	for tag, m := range d.Masks {
		masks[tag] = m
	}
	return decoded(t, map[string]any{
		"effect": d.Effect.String(), "policy": d.Policy, "rule": d.Rule, "reason": d.Reason, "hint": d.Hint,
		"observed": d.Observed, "flags": append([]string{}, d.Flags...), "masks": masks, "limits": limits, "approval": approval,
	}).(map[string]any)
}

func plain(t *testing.T, v any) any {
	t.Helper()
	return decoded(t, v)
}

func decoded(t *testing.T, v any) any {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var out any
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	if err := decoder.Decode(&out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestInputsAreAsTheirSchemaSays(t *testing.T) {
	schema, err := os.ReadFile("../../docs/policy-input.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	match, err := rego.New(rego.Query("json.match_schema(input.document, input.schema)")).PrepareForEval(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	fits := func(document any) []any {
		results, err := match.Eval(context.Background(), rego.EvalInput(map[string]any{"document": document, "schema": string(schema)}))
		if err != nil || len(results) != 1 {
			t.Fatalf("%d results, %v", len(results), err)
		}
		return results[0].Expressions[0].Value.([]any)
	}
	process := caller
	process.Process = &access.Process{PID: 1, UID: 2, Exe: "/bin/psql"}
	process.PodUID = "0b5e7a1c"
	for name, op := range examples() {
		if name == "not understood" {
			continue // its kind is "", which is what the schema is there to tell
		}
		for _, id := range []access.Identity{caller, process} {
			if verdict := fits(decoded(t, policy.Input{Identity: id, Operation: op})); verdict[0] != true {
				t.Errorf("%s: %v", name, verdict[1])
			}
		}
	}
	for name, spoil := range map[string]func(map[string]any){
		"no identity":        func(in map[string]any) { delete(in, "identity") },
		"an unknown field":   func(in map[string]any) { in["more"] = 1 },
		"no statements":      func(in map[string]any) { in["operation"].(map[string]any)["statements"] = []any{} },
		"an unknown kind":    func(in map[string]any) { statement(in)["kind"] = "Frobnicate" },
		"an unknown feature": func(in map[string]any) { statement(in)["features"] = []any{map[string]any{"name": "Telepathy"}} },
		"an unknown access": func(in map[string]any) {
			statement(in)["resources"] = []any{map[string]any{"schema": "", "name": "x", "access": "Look"}}
		},
		"an unknown property": func(in map[string]any) { statement(in)["text"] = "select 1" },
	} {
		document := decoded(t, policy.Input{Identity: caller, Operation: operation(read("orders"))}).(map[string]any)
		spoil(document)
		if verdict := fits(document); verdict[0] != false {
			t.Errorf("%s fits the schema", name)
		}
	}
}

func statement(input map[string]any) map[string]any {
	return input["operation"].(map[string]any)["statements"].([]any)[0].(map[string]any)
}

func TestBothListsOfCapabilitiesAreTheSame(t *testing.T) {
	var here, maker []string
	for _, b := range policy.Capabilities().Builtins {
		here = append(here, b.Name)
	}
	for _, b := range makersCapabilities().Builtins {
		maker = append(maker, b.Name)
	}
	if !slices.Equal(here, maker) {
		t.Errorf("a bundle may be checked by one list and run by another:\nhere  %v\nmaker %v", here, maker)
	}
}
