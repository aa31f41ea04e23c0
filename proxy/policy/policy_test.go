package policy_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/controllers/compile"
	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/policy"
)

func TestADecisionSaysAllThatAClientAndARelayNeed(t *testing.T) {
	got, err := loaded(t).Decide(t.Context(), caller, operation(reportOnCustomers()))
	if err != nil {
		t.Fatal(err)
	}
	want := access.Decision{
		Effect: access.Allow, Policy: "data/reporting", Rule: "read", Revision: 17,
		Flags: []string{"predicate on pii/ssn (Equality)"},
		Masks: map[string]access.Mask{
			"pii/email": {Strategy: "Partial", KeepDomain: true, Rule: "data/reporting masks[1]"},
			"pii/ssn":   {Strategy: "Redact", Rule: "data/reporting masks[0]"},
		},
		Limits: access.Limits{
			RowsPerStatement: 1000, BytesPerHour: 100 << 20, OnExceed: access.RequireApproval,
			Policy: "data/reporting", Rule: "read",
		},
		Approval: access.Approval{
			Timeout: time.Hour, TransactionTimeout: time.Minute, Approvers: 2, Grant: "1h0m0s",
			Rules: []access.RuleRef{{Policy: "data/reporting", Rule: "read"}},
		},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestARequestForApprovalSaysHowItIsAnswered(t *testing.T) {
	copies := read("orders")
	copies.Kind = "CopyOut"
	got, err := loaded(t).Decide(t.Context(), caller, operation(copies))
	if err != nil {
		t.Fatal(err)
	}
	want := access.Approval{
		Timeout: 15 * time.Minute, TransactionTimeout: time.Minute, Approvers: 1, Grant: "Statement",
		Rules: []access.RuleRef{{Policy: "data/reporting", Rule: "exports"}},
	}
	if got.Effect != access.RequireApproval || got.Rule != "exports" || !reflect.DeepEqual(got.Approval, want) {
		t.Errorf("got %v by %q with %+v", got.Effect, got.Rule, got.Approval)
	}
}

func TestWhatIsNotUnderstoodIsDenied(t *testing.T) {
	e := loaded(t)
	for name, op := range map[string]*access.Operation{
		"no statement":        operation(),
		"no kind":             operation(access.Statement{}),
		"an unknown feature":  operation(access.Statement{Kind: "Select", Features: []access.Feature{{Name: "Telepathy"}}}),
		"an unknown access":   operation(access.Statement{Kind: "Select", Resources: []access.Resource{{Schema: "public", Name: "orders"}}}),
		"another data source": {Protocol: "postgres", DataSource: "data/other", Statements: []access.Statement{{Kind: "Session"}}},
		"the zero operation":  {},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := e.Decide(t.Context(), caller, op)
			if err != nil || d.Effect != access.Deny || d.Reason == "" {
				t.Errorf("got %v (%q), %v", d.Effect, d.Reason, err)
			}
		})
	}
	if d, err := e.Decide(t.Context(), access.Identity{}, operation(read("orders"))); err != nil || d.Effect != access.Deny {
		t.Errorf("nobody: got %v, %v", d.Effect, err)
	}
	if d, err := e.Decide(t.Context(), caller, nil); err == nil || d.Effect != access.Deny {
		t.Errorf("nothing: got %v, %v", d.Effect, err)
	}
}

func TestABundleIsRefused(t *testing.T) {
	otherKey := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	good := made(t)
	for _, tc := range []struct {
		name   string
		bundle []byte
		as     func(*policy.Options)
		want   string
	}{
		{"signed by another key", made(t, func(in *compile.Input) { in.Key = otherKey }), nil, "signature"},
		{"when there is no key", good, func(o *policy.Options) { o.PublicKey = nil }, "no key"},
		{"when it is not signed", withoutFile(t, good, ".signatures.json"), nil, "is not signed"},
		{"about another data source", good, func(o *policy.Options) { o.DataSource = "data/other" }, "about another data source"},
		{"when a byte of its data differs", replaced(t, good, "/data.json", "no-payroll", "no-peyroll"), nil, "digest mismatch"},
		{"when a byte of its Rego differs", replaced(t, good, "/tidewaiter/decision.rego", "Deny", "Deni"), nil, "digest mismatch"},
		{"when its manifest was changed", replaced(t, good, "/.manifest", "2030", "2040"), nil, "digest mismatch"},
		{"when a file was added", withFile(t, good, "/more.rego", "package tidewaiter\nmore := 1"), nil, "not included"},
		{"when a file is missing", withoutFile(t, good, "decision.rego"), nil, "not found"},
		{"for another pod", good, func(o *policy.Options) { o.Audience = "pod-2" }, "another audience"},
		{"for nobody", good, func(o *policy.Options) { o.Audience = "" }, "another audience"},
		{"when it is older than what was asked", good, func(o *policy.Options) { o.MinRevision = 18 }, "revision is lower"},
		{"past its time", good, func(o *policy.Options) { o.Now = func() time.Time { return noon.Add(time.Hour) } }, "past its time"},
		{"when it is no archive", []byte("hello"), nil, "cannot be read"},
		{"when it is empty", nil, nil, "cannot be read"},
		{"when it is cut short", good[:len(good)/2], nil, "cannot be read"},
		{"when it is too large", make([]byte, 9<<20), nil, "larger than"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := trusting()
			if tc.as != nil {
				tc.as(&o)
			}
			e, err := policy.Load(tc.bundle, o)
			if e != nil || err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want an error with %q", err, tc.want)
			}
		})
	}
}

func TestADeciderWithoutABundleRefuses(t *testing.T) {
	d, err := policy.NewDecider(trusting()).Decide(t.Context(), caller, operation(read("orders")))
	if !errors.Is(err, policy.ErrNoBundle) || d.Effect != access.Deny {
		t.Errorf("got %v, %v", d.Effect, err)
	}
	var zero policy.Decider
	if err := zero.Use(made(t)); err == nil {
		t.Error("the zero decider took a bundle")
	}
}

func TestARefusedBundleLeavesTheLastGoodOne(t *testing.T) {
	revision := func(n uint64) func(*compile.Input) { return func(in *compile.Input) { in.Revision = n } }
	d := policy.NewDecider(trusting())
	if err := d.Use(made(t)); err != nil {
		t.Fatal(err)
	}
	if err := d.Use(made(t, revision(16))); !errors.Is(err, policy.ErrRevision) {
		t.Errorf("a lower revision: got %v", err)
	}
	if err := d.Use([]byte("garbage")); err == nil {
		t.Error("garbage was taken")
	}
	if got := d.Engine().Revision(); got != 17 {
		t.Errorf("in force: got revision %d, want 17", got)
	}
	if err := d.Use(made(t, revision(18))); err != nil || d.Engine().Revision() != 18 {
		t.Errorf("a higher revision: got %v", err)
	}
}

func TestADecisionEndsWithItsBundle(t *testing.T) {
	now := noon
	e, err := policy.Load(made(t), trusting(func(o *policy.Options) { o.Now = func() time.Time { return now } }))
	if err != nil {
		t.Fatal(err)
	}
	op := operation(read("orders"))
	op.ID = 1
	if d, err := e.Decide(t.Context(), caller, op); err != nil || d.Effect != access.Allow {
		t.Fatalf("got %v, %v", d.Effect, err)
	}
	now = noon.Add(time.Hour)
	if d, err := e.Decide(t.Context(), caller, op); !errors.Is(err, policy.ErrExpired) || d.Effect != access.Deny {
		t.Errorf("after its time, though seen before: got %v, %v", d.Effect, err)
	}
}

// changes make an operation or its caller another one.
var changes = map[string]func(*access.Identity, *access.Operation){
	"another operation":   func(_ *access.Identity, op *access.Operation) { op.ID = 2 },
	"one not to be kept":  func(_ *access.Identity, op *access.Operation) { op.ID = 0 },
	"another data source": func(_ *access.Identity, op *access.Operation) { op.DataSource = "data/x" },
	"another protocol":    func(_ *access.Identity, op *access.Operation) { op.Protocol = "x" },
	"another account":     func(id *access.Identity, _ *access.Operation) { id.ServiceAccount = "x" },
	"another namespace":   func(id *access.Identity, _ *access.Operation) { id.Namespace = "x" },
	"another phase":       func(_ *access.Identity, op *access.Operation) { op.Phase = access.PhasePrepare },
	"another pod":         func(id *access.Identity, _ *access.Operation) { id.Pod = "x" },
	"another pod's UID":   func(id *access.Identity, _ *access.Operation) { id.PodUID = "x" },
	"another label": func(id *access.Identity, _ *access.Operation) {
		id.Labels = map[string]string{"app": "report", "team": "x"}
	},
	"labels exchanged": func(id *access.Identity, _ *access.Operation) {
		id.Labels = map[string]string{"app": "shop", "team": "report"}
	},
	"another process": func(id *access.Identity, _ *access.Operation) { id.Process = &access.Process{PID: 14} },
}

// TestADecisionIsMadeAgainForWhateverARuleLooksAt says for several conditions of
// the owner's Rego which changes they cannot see; all others make a new decision.
func TestADecisionIsMadeAgainForWhateverARuleLooksAt(t *testing.T) {
	all := []string{"another phase", "another pod", "another pod's UID", "another label", "labels exchanged", "another process"}
	without := func(names ...string) []string {
		return slices.DeleteFunc(slices.Clone(all), func(name string) bool { return slices.Contains(names, name) })
	}
	for condition, unseen := range map[string][]string{
		`input.operation.protocol == "y"`:                            all,
		`input.identity.process.pid == 13`:                           without("another process"),
		`input.identity.pod == "y"`:                                  without("another pod"),
		`input.identity.podUID == "y"`:                               without("another pod's UID"),
		`input.identity.labels.team == "y"`:                          without("another label", "labels exchanged"),
		`input.operation.phase == "y"`:                               without("another phase"),
		`x := input.operation; x.phase == "y"`:                       without("another phase"),
		`some k in ["phase"]; input.operation[k] == "y"`:             without("another phase"),
		`input.identity.labels[input.operation.phase] == "y"`:        without("another phase", "another label", "labels exchanged"),
		`some k in ["pod"]; input.identity[k] == "y"`:                {"another phase"},
		`_f(input.identity)`:                                         {"another phase"},
		`input == {}`:                                                {},
		`some x in [input]; x.operation.phase == "y"`:                {},
		`some k in ["operation"]; input[k].phase == "y"`:             {},
		`[1 | input.operation.phase == "y"][0]`:                      without("another phase"),
		`not input.operation.phase`:                                  without("another phase"),
		`every k in ["y"] { input.operation.phase == k }`:            without("another phase"),
		`input.operation.protocol == "y" with input.operation as {}`: without("another phase"),
	} {
		bundle := madeOf(t, strings.Replace(reporting, "input.identity.process.pid == 13", "{ "+condition+" }", 1)+"\n    _f(x) if x.pod == \"y\"\n")
		e, err := policy.Load(bundle, trusting())
		if err != nil {
			t.Fatalf("%s: %v", condition, err)
		}
		op := operation(read("orders"))
		op.ID = 1
		if d, err := e.Decide(t.Context(), caller, op); err != nil || d.Effect != access.Allow {
			t.Fatalf("%s: %v (%s), %v", condition, d.Effect, d.Reason, err)
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		// A context that ended fails every evaluation, and so tells them apart.
		if d, err := e.Decide(ended, caller, op); err != nil || d.Effect != access.Allow {
			t.Errorf("%s: seen before: got %v, %v", condition, d.Effect, err)
		}
		for name, change := range changes {
			id, changed := caller, *op
			change(&id, &changed)
			_, err := e.Decide(ended, id, &changed)
			if kept := err == nil; kept != slices.Contains(unseen, name) {
				t.Errorf("%s: %s: answered by what was decided before: %v", condition, name, kept)
			}
		}
	}
}

func TestTheCallersProcessReachesTheOwnersRego(t *testing.T) {
	id := caller
	id.Process = &access.Process{PID: 13}
	d, err := loaded(t).Decide(t.Context(), id, operation(read("orders")))
	if err != nil || d.Effect != access.Deny || d.Rule != "rego" || d.Reason != "reports are not made by process 13" {
		t.Errorf("got %v by %q (%s), %v", d.Effect, d.Rule, d.Reason, err)
	}
}

func TestAnEvaluationThatTakesTooLongDenies(t *testing.T) {
	endless := strings.Replace(reporting, "input.identity.process.pid == 13", "count([1 | some i in _n; some j in _n; some k in _n; i + j + k < 0]) > 0", 1) +
		"    _n := [i | some i, _ in split(sprintf(\"%5000d\", [0]), \"\")]\n"
	e, err := policy.Load(madeOf(t, endless), trusting(func(o *policy.Options) { o.Deadline = 20 * time.Millisecond }))
	if err != nil {
		t.Fatal(err)
	}
	d, err := e.Decide(t.Context(), caller, operation(read("orders")))
	if !errors.Is(err, context.DeadlineExceeded) || d.Effect != access.Deny {
		t.Errorf("got %v, %v", d.Effect, err)
	}
}

func TestAnErrorOfTheOwnersRegoDenies(t *testing.T) {
	broken := strings.Replace(reporting, "input.identity.process.pid == 13", "to_number(input.operation.protocol) == 1", 1)
	e, err := policy.Load(madeOf(t, broken), trusting())
	if err != nil {
		t.Fatal(err)
	}
	d, err := e.Decide(t.Context(), caller, operation(read("orders")))
	if err == nil || d.Effect != access.Deny {
		t.Errorf("got %v, %v", d.Effect, err)
	}
}

func TestABundleIsReplacedUnderLoad(t *testing.T) {
	d := policy.NewDecider(trusting())
	if err := d.Use(made(t)); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for worker := range 4 {
		wg.Go(func() {
			op := operation(read("orders"))
			last := uint64(0)
			for i := uint64(1); ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				op.ID = i%50 + uint64(worker)*1000 + 1
				got, err := d.Decide(context.Background(), caller, op)
				if err != nil || got.Effect != access.Allow || got.Revision < last {
					t.Errorf("got %v at revision %d after %d, %v", got.Effect, got.Revision, last, err)
					return
				}
				last = got.Revision
			}
		})
	}
	for n := uint64(18); n < 23; n++ {
		if err := d.Use(made(t, func(in *compile.Input) { in.Revision = n })); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	wg.Wait()
}
