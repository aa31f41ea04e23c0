package policy_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/open-policy-agent/opa/v1/profiler"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/tidewaiter/tidewaiter/proxy/policy"
)

func TestZZ(t *testing.T) {
	file := t.TempDir() + "/bundle.tar.gz"
	os.WriteFile(file, made(t), 0o600)
	q, err := rego.New(rego.Query("data.tidewaiter.decision"), rego.LoadBundle(file), rego.SkipBundleVerification(true)).PrepareForEval(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p := profiler.New()
	in := decoded(t, policy.Input{Identity: caller, Operation: operation(reportOnCustomers())})
	q.Eval(t.Context(), rego.EvalInput(in), rego.EvalQueryTracer(p))
	tot := 0
	for _, s := range p.ReportTopNResults(400, []string{"file", "line"}) {
		tot += s.NumEval
	}
	fmt.Println("total", tot)
	for _, s := range p.ReportTopNResults(150, []string{"num_eval"}) {
		fmt.Printf("%4d %4d %6dus %s:%d\n", s.NumEval, s.NumRedo, s.ExprTimeNs/1000, s.Location.File, s.Location.Row)
	}
}
