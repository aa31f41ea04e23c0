package compile

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/bundle"
	"github.com/open-policy-agent/opa/v1/rego"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
)

func TestTheSameInputGivesTheSameBytes(t *testing.T) {
	s := readScenario(t, "testdata/observe.in.yaml")
	first, err := Bundle(s.input())
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(s.Policies)
	for range 5 {
		again, err := Bundle(s.input())
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(first, again) {
			t.Fatal("two bundles of the same policies differ")
		}
	}
}

func TestABundleNeedsAnEndAnAudienceAndAKey(t *testing.T) {
	for name, spoil := range map[string]func(*Input){
		"no end":      func(in *Input) { in.NotAfter = time.Time{} },
		"no audience": func(in *Input) { in.Audience = "" },
		"no key":      func(in *Input) { in.Key = nil },
	} {
		t.Run(name, func(t *testing.T) {
			in := readScenario(t, "testdata/reporting.in.yaml").input()
			spoil(&in)
			if raw, err := Bundle(in); err == nil || raw != nil {
				t.Errorf("got a bundle of %d bytes, want an error", len(raw))
			}
		})
	}
}

func TestMistakesInRulesNameTheField(t *testing.T) {
	zero := int64(0)
	for want, spoil := range map[string]func(*v1alpha1.Rule){
		`spec.rules[0].statements[0]: "Selekt" is neither`: func(r *v1alpha1.Rule) { r.Statements = []v1alpha1.StatementClass{"Selekt"} },
		`spec.rules[0].tables[0]: "orders" is not`:         func(r *v1alpha1.Rule) { r.Tables = []v1alpha1.TablePattern{"orders"} },
		`spec.rules[0].tables[0]: "a.b.c" is not`:          func(r *v1alpha1.Rule) { r.Tables = []v1alpha1.TablePattern{"a.b.c"} },
		`spec.rules[0].limits.rowsPerHour: must be at`:     func(r *v1alpha1.Rule) { r.Limits = &v1alpha1.Limits{RowsPerHour: &zero} },
	} {
		in := readScenario(t, "testdata/reporting.in.yaml").input()
		spoil(&in.Policies[0].Spec.Rules[0])
		if _, err := Bundle(in); err == nil || !strings.HasPrefix(err.Error(), "AccessPolicy data/reporting: "+want) {
			t.Errorf("got %v, want %s…", err, want)
		}
	}
}

func TestTheLibraryKnowsTheWordsOfTheAPI(t *testing.T) {
	raw, err := Bundle(readScenario(t, "testdata/nobody.in.yaml").input())
	if err != nil {
		t.Fatal(err)
	}
	b, err := bundle.NewReader(bytes.NewReader(raw)).WithSkipBundleVerification(true).Read()
	if err != nil {
		t.Fatal(err)
	}
	for expression, want := range map[string][]v1alpha1.StatementClass{
		"data.tidewaiter.kinds":                  append(v1alpha1.OrdinaryKinds(), v1alpha1.NamedKinds()...),
		"data.tidewaiter.quantity":               v1alpha1.QuantityFeatures(),
		"object.keys(data.tidewaiter.dangerous)": v1alpha1.DangerousFeatures(),
	} {
		results, err := rego.New(rego.Query(expression), rego.ParsedBundle("b", &b)).Eval(context.Background())
		if err != nil || len(results) != 1 {
			t.Fatalf("%s: %v", expression, err)
		}
		encoded, err := json.Marshal(results[0].Expressions[0].Value)
		if err != nil {
			t.Fatal(err)
		}
		var got []v1alpha1.StatementClass
		if err := json.Unmarshal(encoded, &got); err != nil {
			t.Fatal(err)
		}
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s:\ngot  %v\nwant %v", expression, got, want)
		}
	}
}

func TestAStarInATablePatternStandsForAnyTextWithinAPart(t *testing.T) {
	for _, tc := range []struct {
		pattern      v1alpha1.TablePattern
		schema, name string
		want         bool
	}{
		{"public.orders", "public", "orders", true},
		{"public.orders", "PUBLIC", "orders", false},
		{"public.orders", "public", "orders2", false},
		{"public.*", "public", "a.b", true},
		{"public.*", "public.x", "orders", false},
		{"*.orders", "", "orders", true},
		{"*.*", "any", "thing", true},
		{"app_*.o*s", "app_eu", "orders", true},
		{"app_*.o*s", "app_eu", "os", true},
		{"app_*.o*s", "app_eu", "o\ns", true},
		{"app_*.o*s", "my_app_eu", "orders", false},
		{"p[a-z].x+*", "p[a-z]", "x+", true},
		{"p[a-z].x+*", "pa", "xx", false},
	} {
		if got := matchTables(t, tc.pattern, tc.schema, tc.name); got != tc.want {
			t.Errorf("%s matches %q.%q: got %v, want %v", tc.pattern, tc.schema, tc.name, got, tc.want)
		}
	}
}

// matchTables asks the Rego library, since it is what matches.
func matchTables(t *testing.T, pattern v1alpha1.TablePattern, schema, name string) bool {
	t.Helper()
	index := newTables()
	if err := index.add([]string{string(pattern)}, 7); err != nil {
		t.Fatal(err)
	}
	results, err := rego.New(
		rego.Query("7 in data.tidewaiter.rules_on(input.resource) with data.tidewaiter.bundle as {\"tables\": input.tables}"),
		rego.Load([]string{"rego"}, func(_ string, info fs.FileInfo, _ int) bool { return info.Name() == "tests" }),
		rego.Input(map[string]any{"tables": index, "resource": map[string]any{"schema": schema, "name": name}}),
	).Eval(t.Context())
	if err != nil || len(results) != 1 {
		t.Fatalf("%d results, %v", len(results), err)
	}
	return results.Allowed()
}

func TestCapabilitiesReachNothingOutside(t *testing.T) {
	for _, b := range Capabilities().Builtins {
		for _, prefix := range []string{"http.", "net.", "opa.", "rand.", "uuid.", "io.", "crypto.", "rego.", "graphql.", "providers.", "trace", "print", "internal.print"} {
			if strings.HasPrefix(b.Name, prefix) || b.Nondeterministic {
				t.Errorf("policies can call %s", b.Name)
			}
		}
	}
}

func TestANamespaceAttachesWhenTheDataSourceAllowsIt(t *testing.T) {
	team := &v1alpha1.LabelSelector{MatchLabels: map[string]v1alpha1.LabelValue{"team": "shop"}}
	for _, tc := range []struct {
		name    string
		allowed v1alpha1.AllowedNamespaces
		subject Subject
		want    bool
		err     bool
	}{
		{"its own by default", v1alpha1.AllowedNamespaces{}, Subject{Namespace: "data"}, true, false},
		{"no other by default", v1alpha1.AllowedNamespaces{}, Subject{Namespace: "shop"}, false, false},
		{"its own when it says Same", v1alpha1.AllowedNamespaces{From: "Same"}, Subject{Namespace: "data"}, true, false},
		{"by label", v1alpha1.AllowedNamespaces{Selector: team}, Subject{Namespace: "shop", NamespaceLabels: map[string]string{"team": "shop"}}, true, false},
		{"not by another label", v1alpha1.AllowedNamespaces{Selector: team}, Subject{Namespace: "shop", NamespaceLabels: map[string]string{"team": "x"}}, false, false},
		{"not even its own where a selector says otherwise", v1alpha1.AllowedNamespaces{Selector: team}, Subject{Namespace: "data"}, false, false},
		{"all by an empty selector", v1alpha1.AllowedNamespaces{Selector: &v1alpha1.LabelSelector{}}, Subject{Namespace: "x"}, true, false},
		{"none by an unknown word", v1alpha1.AllowedNamespaces{From: "All"}, Subject{Namespace: "data"}, false, true},
		{"none by both", v1alpha1.AllowedNamespaces{From: "Same", Selector: team}, Subject{Namespace: "data"}, false, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ds := &v1alpha1.DataSource{}
			ds.Namespace, ds.Name = "data", "orders"
			ds.Spec.AllowedNamespaces = tc.allowed
			got, err := Attached(ds, tc.subject)
			if got != tc.want || (err != nil) != tc.err {
				t.Errorf("got %v, %v; want %v", got, err, tc.want)
			}
		})
	}
	in := readScenario(t, "testdata/not-attached.in.yaml").input()
	if _, err := Bundle(in); !errors.Is(err, ErrNotAttached) {
		t.Errorf("got %v, want ErrNotAttached", err)
	}
}

func TestASubjectIsSelectedWhenEveryFieldOfAnEntryMatches(t *testing.T) {
	everywhere := &v1alpha1.LabelSelector{}
	report := &v1alpha1.LabelSelector{MatchLabels: map[string]v1alpha1.LabelValue{"app": "report"}}
	workload := Subject{Namespace: "shop", ServiceAccount: "agent", PodLabels: map[string]string{"app": "report"}}
	for _, tc := range []struct {
		name  string
		entry v1alpha1.Subject
		want  bool
	}{
		{"nothing set", v1alpha1.Subject{}, false},
		{"every namespace", v1alpha1.Subject{NamespaceSelector: everywhere}, true},
		{"the policy's own namespace, left out", v1alpha1.Subject{ServiceAccounts: []v1alpha1.ObjectName{"agent"}}, false},
		{"the account", v1alpha1.Subject{NamespaceSelector: everywhere, ServiceAccounts: []v1alpha1.ObjectName{"other", "agent"}}, true},
		{"another account", v1alpha1.Subject{NamespaceSelector: everywhere, ServiceAccounts: []v1alpha1.ObjectName{"other"}}, false},
		{"the pod's labels", v1alpha1.Subject{NamespaceSelector: everywhere, PodSelector: report}, true},
		{"labels of the pod as the namespace's", v1alpha1.Subject{NamespaceSelector: report}, false},
		{"all but one", v1alpha1.Subject{NamespaceSelector: everywhere, PodSelector: report, ServiceAccounts: []v1alpha1.ObjectName{"x"}}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := matches(&tc.entry, "data", workload)
			if got != tc.want || err != nil {
				t.Errorf("got %v, %v; want %v", got, err, tc.want)
			}
		})
	}
}

func TestMasksAreOrderedBySpecificityThenStrictness(t *testing.T) {
	p := &v1alpha1.AccessPolicy{}
	p.Namespace, p.Name = "data", "p"
	two, four := int32(2), int32(4)
	p.Spec.Masks = append(p.Spec.Masks, []v1alpha1.Mask{
		{Tags: []v1alpha1.TagPattern{"*"}, Strategy: v1alpha1.MaskReveal},
		{Tags: []v1alpha1.TagPattern{"pii/*"}, Strategy: v1alpha1.MaskHash},
		{Tags: []v1alpha1.TagPattern{"pii/em*"}, Strategy: v1alpha1.MaskNull},
		{Tags: []v1alpha1.TagPattern{"pii/email"}, Strategy: v1alpha1.MaskReveal},
		{Tags: []v1alpha1.TagPattern{"pii/email"}, Strategy: v1alpha1.MaskPartial, KeepFirst: &four},
		{Tags: []v1alpha1.TagPattern{"pii/email"}, Strategy: v1alpha1.MaskPartial, KeepLast: &two},
		{Tags: []v1alpha1.TagPattern{"*email"}, Strategy: v1alpha1.MaskDateTrunc}, // no unit: redacts
	}...)
	masks, err := compileMasks([]*v1alpha1.AccessPolicy{p})
	if err != nil {
		t.Fatal(err)
	}
	if got := masks.Exact["pii/email"]; got.Strategy != "Partial" || got.Rule != "data/p masks[5]" {
		t.Errorf("pii/email: got %+v", got)
	}
	var got []string
	for _, m := range masks.Patterns {
		got = append(got, m.Mask.Strategy+" "+strings.TrimPrefix(m.Mask.Rule, "data/p "))
	}
	want := []string{"Null masks[2]", "Hash masks[1]", "Redact masks[6]", "Reveal masks[0]"}
	if !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestAMaskSaysWhereItMasksAndAnUnknownModeIsTheStricter(t *testing.T) {
	for mode, want := range map[v1alpha1.MaskMode]string{"": "", v1alpha1.MaskInResult: "", v1alpha1.MaskAtSource: "Source", "later": "Source"} {
		p := &v1alpha1.AccessPolicy{}
		p.Spec.Masks = []v1alpha1.Mask{{Tags: []v1alpha1.TagPattern{"pii/ssn"}, Strategy: v1alpha1.MaskNull, Mode: mode}}
		masks, err := compileMasks([]*v1alpha1.AccessPolicy{p})
		if err != nil || masks.Exact["pii/ssn"].Mode != want {
			t.Errorf("mode %q: got %+v, %v; want mode %q", mode, masks.Exact["pii/ssn"], err, want)
		}
	}
}

func TestAmongEqualMasksTheOneAtTheSourceWins(t *testing.T) {
	p := &v1alpha1.AccessPolicy{}
	tags := []v1alpha1.TagPattern{"pii/ssn"}
	p.Spec.Masks = []v1alpha1.Mask{{Tags: tags, Strategy: v1alpha1.MaskNull}, {Tags: tags, Strategy: v1alpha1.MaskNull, Mode: v1alpha1.MaskAtSource}}
	masks, err := compileMasks([]*v1alpha1.AccessPolicy{p})
	if err != nil || masks.Exact["pii/ssn"].Mode != "Source" {
		t.Errorf("got %+v, %v", masks.Exact["pii/ssn"], err)
	}
}

func TestAMaskThatTheDatabaseCannotComputeIsNotTaken(t *testing.T) {
	for _, strategy := range []v1alpha1.MaskStrategy{v1alpha1.MaskHash, v1alpha1.MaskReveal} {
		p := &v1alpha1.AccessPolicy{}
		p.Namespace, p.Name = "data", "p"
		p.Spec.Masks = []v1alpha1.Mask{{Tags: []v1alpha1.TagPattern{"*"}, Strategy: strategy, Mode: v1alpha1.MaskAtSource}}
		err := Check(p)
		if err == nil || !strings.Contains(err.Error(), "AccessPolicy data/p: spec.masks[0].mode: Source") || !strings.Contains(err.Error(), "set ") {
			t.Errorf("%s: got %v", strategy, err)
		}
	}
}
