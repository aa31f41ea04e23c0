package phase

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
)

const (
	accepted  = v1alpha1.ConditionAccepted
	resolved  = v1alpha1.ConditionResolvedRefs
	reachable = v1alpha1.ConditionReachable
	governed  = v1alpha1.ConditionGoverned
	ready     = v1alpha1.ConditionReady
)

// says is a step that always says the same.
func says(condition string, o Outcome, needs ...string) Step {
	return Step{Name: "Look", Condition: condition, Needs: needs, Run: func(context.Context) Outcome { return o }}
}

func show(conditions []metav1.Condition) string {
	var out []string
	for _, c := range conditions {
		out = append(out, fmt.Sprintf("%s=%s %s %q", c.Type, c.Status, c.Reason, c.Message))
	}
	return strings.Join(out, "\n")
}

func TestWhatStepsSayBecomesConditions(t *testing.T) {
	yes := True("Fine", "it is fine")
	optional := says(governed, False("Bypass", "there is a way around"))
	optional.Optional = true
	old := []metav1.Condition{{Type: reachable, Status: metav1.ConditionTrue, Reason: "Answered", Message: "a minute ago", ObservedGeneration: 3}}
	for name, test := range map[string]struct {
		steps []Step
		want  string
		again time.Duration
		err   string
	}{
		"everything holds": {
			steps: []Step{says(accepted, yes), says(resolved, yes)},
			want:  "Accepted=True Fine \"it is fine\"\nResolvedRefs=True Fine \"it is fine\"\nReady=True Ready \"\"",
		},
		"a step whose need is not met is not run": {
			steps: []Step{
				says(accepted, False("Invalid", "spec.x is wrong")), says(resolved, yes, accepted),
				{Name: "Never", Condition: reachable, Needs: []string{accepted, resolved}},
			},
			want: "Accepted=False Invalid \"spec.x is wrong\"\nResolvedRefs=Unknown Pending \"waits for Accepted\"\n" +
				"Reachable=Unknown Pending \"waits for Accepted and ResolvedRefs\"\nReady=False NotReady \"Accepted is False: spec.x is wrong\"",
		},
		"Ready does not need what is optional": {
			steps: []Step{says(accepted, yes), optional},
			want:  "Accepted=True Fine \"it is fine\"\nGoverned=False Bypass \"there is a way around\"\nReady=True Ready \"\"",
		},
		"the earliest wish to look again counts": {
			steps: []Step{says(accepted, yes.Again(time.Hour)), says(resolved, yes.Again(time.Second)), says(reachable, yes)},
			want:  "Accepted=True Fine \"it is fine\"\nResolvedRefs=True Fine \"it is fine\"\nReachable=True Fine \"it is fine\"\nReady=True Ready \"\"",
			again: time.Second,
		},
		"a step that says nothing proves nothing": {
			steps: []Step{says(accepted, Outcome{})},
			want: "Accepted=Unknown InternalError \"the operator's step Look had nothing to say: this is a mistake in Tidewaiter\"\n" +
				"Ready=False NotReady \"Accepted is Unknown: the operator's step Look had nothing to say: this is a mistake in Tidewaiter\"",
		},
		"what could not be looked at stays as it was": {
			steps: []Step{says(reachable, Retry(errors.New("the API server is away")))},
			want:  "Reachable=True Answered \"a minute ago\"\nReady=True Ready \"\"",
			err:   "Look: the API server is away",
		},
		"what was never known stays unknown": {
			steps: []Step{says(accepted, Retry(errors.New("the API server is away")))},
			want: "Accepted=Unknown InternalError \"the operator could not find out and tries again: the API server is away\"\n" +
				"Ready=False NotReady \"Accepted is Unknown: the operator could not find out and tries again: the API server is away\"",
			err: "Look: the API server is away",
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := run(t.Context(), test.steps, old, 3)
			if got := show(f.conditions); got != test.want {
				t.Errorf("got\n%s\nwant\n%s", got, test.want)
			}
			if f.again != test.again {
				t.Errorf("again after %s, want %s", f.again, test.again)
			}
			if got := fmt.Sprint(f.err); (f.err != nil || test.err != "") && got != test.err {
				t.Errorf("error %q, want %q", got, test.err)
			}
		})
	}
}

func TestWhatWasKnownOfAnotherGenerationIsNotKeptWhenAStepCannotLook(t *testing.T) {
	old := []metav1.Condition{{Type: reachable, Status: metav1.ConditionTrue, Reason: "Answered", ObservedGeneration: 3}}
	f := run(t.Context(), []Step{says(reachable, Retry(errors.New("away")))}, old, 4)
	if c := meta.FindStatusCondition(f.conditions, reachable); c.Status != metav1.ConditionUnknown || c.ObservedGeneration != 4 {
		t.Errorf("got %s", show(f.conditions))
	}
}

func TestAPanicIsAnOutcomeThatTellsNoValueAndOtherStepsGoOn(t *testing.T) {
	f := run(t.Context(), []Step{
		{Name: "Probe", Condition: reachable, Run: func(context.Context) Outcome { panic("password=hunter2") }},
		{Name: "Index", Condition: resolved, Run: func(context.Context) Outcome { return True([]string{}[len(f0)], "") }},
		says(accepted, True("Fine", "")),
	}, nil, 1)
	if c := meta.FindStatusCondition(f.conditions, reachable); c.Status != metav1.ConditionUnknown || c.Reason != v1alpha1.ReasonInternalError {
		t.Errorf("got %s", show(f.conditions))
	}
	if !meta.IsStatusConditionTrue(f.conditions, accepted) {
		t.Errorf("later steps were not run: %s", show(f.conditions))
	}
	if f.err == nil || strings.Contains(f.err.Error()+show(f.conditions), "hunter2") {
		t.Errorf("the error is %v", f.err)
	}
	for _, want := range []string{"panic: string", "index out of range", "run_test.go"} {
		if !strings.Contains(f.err.Error(), want) {
			t.Errorf("the error does not tell %q: %v", want, f.err)
		}
	}
}

var f0 = []int{1, 2, 3}

func TestALongMessageIsCutBetweenCharacters(t *testing.T) {
	for extra := range 4 {
		o := True("Fine", "%s", strings.Repeat("x", extra)+strings.Repeat("…", maxMessage))
		if len(o.message) > maxMessage || !strings.HasSuffix(o.message, "……") || strings.ContainsRune(o.message, '\uFFFD') {
			t.Errorf("%d bytes, ending in %q", len(o.message), o.message[len(o.message)-8:])
		}
	}
}
