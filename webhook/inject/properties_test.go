package inject

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"regexp"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	psa "k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"

	"github.com/tidewaiter/tidewaiter/injection"
)

// eachInjected runs a check on every golden pod that is injected, before and after.
func eachInjected(t *testing.T, check func(t *testing.T, s *scenario, result *Result, after []byte)) {
	t.Helper()
	for name, s := range scenarios(t) {
		result, err := s.inject(t, s.Pod)
		if err != nil || len(result.Patch) == 0 {
			continue
		}
		t.Run(name, func(t *testing.T) { check(t, s, result, apply(t, s.Pod, result.Patch)) })
	}
}

func TestInjectingTwiceIsInjectingOnce(t *testing.T) {
	eachInjected(t, func(t *testing.T, s *scenario, first *Result, after []byte) {
		again, err := s.inject(t, after)
		if err != nil {
			t.Fatal(err)
		}
		if len(again.Patch) > 0 || !reflect.DeepEqual(again.DataSources, first.DataSources) {
			t.Errorf("the second time it wants %+v", again)
		}
	})
}

// Another webhook put an init container before the proxy, and the API server asks again.
func TestTheProxyComesFirstAgainAfterAnotherWebhook(t *testing.T) {
	s := scenarios(t)["init-containers"]
	first, err := s.inject(t, s.Pod)
	if err != nil {
		t.Fatal(err)
	}
	var pod corev1.Pod
	if err := json.Unmarshal(apply(t, s.Pod, first.Patch), &pod); err != nil {
		t.Fatal(err)
	}
	pod.Spec.InitContainers = append([]corev1.Container{{Name: "theirs", Image: "theirs:1"}}, pod.Spec.InitContainers...)
	raw, err := json.Marshal(pod)
	if err != nil {
		t.Fatal(err)
	}
	second, err := s.inject(t, raw)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(apply(t, raw, second.Patch), &pod); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range pod.Spec.InitContainers {
		names = append(names, c.Name)
	}
	if got := strings.Join(names, " "); got != "tidewaiter-proxy theirs migrate warm" || len(pod.Spec.InitContainers[1].Env) != 2 {
		t.Errorf("%s, with %v", got, pod.Spec.InitContainers[1].Env)
	}
}

func TestWhatThePodSaysItselfIsUntouched(t *testing.T) {
	eachInjected(t, func(t *testing.T, s *scenario, result *Result, after []byte) {
		if err := untouched(s.Pod, after, result.Patch); err != nil {
			t.Error(err)
		}
	})
}

// untouched checks that everything of the pod is there afterwards, except variables that were replaced.
func untouched(before, after []byte, patch []Operation) error {
	was, is := tree(before), tree(after)
	for _, op := range patch {
		if op.Op == "add" || op.Op == "move" { // a move is of the proxy alone, or what is compared below has gone
			continue
		}
		var list string
		var container, variable int
		if _, err := fmt.Sscanf(strings.ReplaceAll(op.Path, "/", " "), " spec %s %d env %d", &list, &container, &variable); err != nil || op.Op != "replace" {
			return fmt.Errorf("neither adds nor replaces a variable: %s %s", op.Op, op.Path)
		}
		env := was.(map[string]any)["spec"].(map[string]any)[list].([]any)[container].(map[string]any)["env"].([]any)
		env[variable] = map[string]any{"name": env[variable].(map[string]any)["name"]}
	}
	return contained(was, is, "pod")
}

func tree(raw []byte) any {
	var v any
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber() // so that no digit is lost in the comparison
	if err := d.Decode(&v); err != nil {
		panic(err)
	}
	return v
}

// contained says where was is not part of is: keys of maps, and elements of lists in their order.
func contained(was, is any, at string) error {
	switch was := was.(type) {
	case map[string]any:
		is, ok := is.(map[string]any)
		if !ok {
			return fmt.Errorf("%s is no map any more", at)
		}
		for key, value := range was {
			if err := contained(value, is[key], at+"."+key); err != nil {
				return err
			}
		}
	case []any:
		is, ok := is.([]any)
		if !ok && len(was) > 0 {
			return fmt.Errorf("%s is no list any more", at)
		}
		next := 0
		for i, value := range was {
			for ; next < len(is) && contained(value, is[next], at) != nil; next++ {
			}
			if next == len(is) {
				return fmt.Errorf("%s[%d] is gone: %v", at, i, value)
			}
			next++
		}
	case nil:
	default:
		if !reflect.DeepEqual(was, is) {
			return fmt.Errorf("%s was %v and is %v", at, was, is)
		}
	}
	return nil
}

// Whatever fields a pod has that our types do not know, they come through.
func TestFieldsThatNobodyKnowsComeThrough(t *testing.T) {
	const seed = 20261125
	r := rand.New(rand.NewPCG(seed, 1))
	injected := 0
	all := scenarios(t)
	for name, s := range all {
		for range 25 {
			v := tree(s.Pod)
			sprinkle(r, v, 0)
			pod, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			want, wantErr := s.inject(t, s.Pod)
			result, err := s.inject(t, pod)
			if (err == nil) != (wantErr == nil) {
				t.Fatalf("%s: unknown fields change the outcome: %v, and without them %v\n%s", name, err, wantErr, pod)
			}
			if err != nil || len(want.Patch) == 0 {
				continue
			}
			after := apply(t, pod, result.Patch)
			if err := untouched(pod, after, result.Patch); err != nil {
				t.Fatalf("%s: %v\n%s", name, err, pod)
			}
			if again, err := s.inject(t, after); err != nil || len(again.Patch) > 0 {
				t.Fatalf("%s: the second time: %+v, %v\n%s", name, again, err, pod)
			}
			injected++
		}
	}
	if injected < 500 {
		t.Errorf("only %d pods were injected", injected)
	}
}

// closed are maps in which every key has a meaning of its own, so that another one is no unknown field.
var closed = regexp.MustCompile(`^(labels|annotations|nodeSelector|limits|requests)$`)

// sprinkle puts fields into a JSON value that no API has.
func sprinkle(r *rand.Rand, v any, depth int) {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			if !closed.MatchString(key) {
				sprinkle(r, value, depth+1)
			}
		}
		if r.IntN(3) == 0 {
			v[fmt.Sprintf("zz%d", r.IntN(100))] = invented(r, 3)
		}
	case []any:
		for i := range v {
			sprinkle(r, v[i], depth+1)
		}
	}
}

func invented(r *rand.Rand, depth int) any {
	switch n := r.IntN(8); {
	case n == 0 && depth > 0:
		return map[string]any{"a": invented(r, depth-1), "b/~c": invented(r, depth-1)}
	case n == 1 && depth > 0:
		return []any{invented(r, depth-1), invented(r, depth-1)}
	case n == 2:
		return json.Number("9007199254740993") // not a float64
	case n == 3:
		return json.Number("1.50")
	case n == 4:
		return "ü <&> \u2028"
	case n == 5:
		return true
	default:
		return "text"
	}
}

func TestThePodSecurityLevelIsKept(t *testing.T) {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	level := func(raw []byte, level psa.Level) bool {
		var pod corev1.Pod
		if err := json.Unmarshal(raw, &pod); err != nil {
			t.Fatal(err)
		}
		results := evaluator.EvaluatePod(psa.LevelVersion{Level: level, Version: psa.LatestVersion()}, &pod.ObjectMeta, &pod.Spec)
		return policy.AggregateCheckResults(results).Allowed
	}
	kept := map[psa.Level]int{}
	eachInjected(t, func(t *testing.T, s *scenario, _ *Result, after []byte) {
		for _, l := range []psa.Level{psa.LevelBaseline, psa.LevelRestricted} {
			if !level(s.Pod, l) {
				continue
			}
			kept[l]++
			if !level(after, l) {
				t.Errorf("was %s, and is no more", l)
			}
		}
	})
	if kept[psa.LevelBaseline] == 0 || kept[psa.LevelRestricted] == 0 {
		t.Errorf("no pod had a level to keep: %v", kept)
	}
}

func TestEveryInjectedPodVerifies(t *testing.T) {
	eachInjected(t, func(t *testing.T, s *scenario, result *Result, after []byte) {
		var pod corev1.Pod
		if err := json.Unmarshal(after, &pod); err != nil {
			t.Fatal(err)
		}
		status, err := injection.Verify(&pod, s.namespace().Labels, &s.settings().Settings)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(status.DataSources, result.DataSources) {
			t.Errorf("injected with %v, verified with %v", result.DataSources, status.DataSources)
		}
	})
}

func TestNoMessageRepeatsAPassword(t *testing.T) {
	searched := 0
	for name, s := range scenarios(t) {
		if !bytes.Contains(s.Pod, []byte("canary")) {
			continue
		}
		searched++
		result, err := s.inject(t, s.Pod)
		said := fmt.Sprint(err)
		if err == nil {
			said = strings.Join(result.Warnings, "\n")
		}
		if strings.Contains(said, "canary") {
			t.Errorf("%s: %s", name, said)
		}
		if !strings.Contains(said, "password") && !strings.Contains(said, "replaced") {
			t.Errorf("%s: nothing is said of the password: %s", name, said)
		}
	}
	if searched == 0 {
		t.Error("no scenario has a password")
	}
}

// What an API server's own admission does to the proxy's container between two calls.
func TestWhatTheAPIServerAddsIsNoAlteration(t *testing.T) {
	s := scenarios(t)["deployment"]
	result, err := s.inject(t, s.Pod)
	if err != nil {
		t.Fatal(err)
	}
	var pod corev1.Pod
	if err := json.Unmarshal(apply(t, s.Pod, result.Patch), &pod); err != nil {
		t.Fatal(err)
	}
	c := &pod.Spec.InitContainers[0]
	c.ImagePullPolicy = corev1.PullAlways
	c.Resources.Limits[corev1.ResourceCPU] = c.Resources.Requests[corev1.ResourceCPU]
	c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{
		Name: "kube-api-access-x7k2p", MountPath: "/var/run/secrets/kubernetes.io/serviceaccount", ReadOnly: true,
	})
	raw, err := json.Marshal(pod)
	if err != nil {
		t.Fatal(err)
	}
	again, err := s.inject(t, raw)
	if err != nil || len(again.Patch) > 0 {
		t.Errorf("%+v, %v", again, err)
	}
	if _, err := injection.Verify(&pod, s.namespace().Labels, &s.settings().Settings); err != nil {
		t.Error(err)
	}
}

func TestWithoutSettingsEveryPodThatAsksIsRefused(t *testing.T) {
	s := scenarios(t)["plain"]
	if _, err := Pod(s.Pod, s.namespace(), dataSources(t), &Settings{}); err == nil || !strings.Contains(err.Error(), "no image") {
		t.Errorf("%v", err)
	}
}

func BenchmarkPod(b *testing.B) {
	s := scenarios(b)["deployment"]
	sources, ns, settings := dataSources(b), s.namespace(), s.settings()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Pod(s.Pod, ns, sources, settings); err != nil {
			b.Fatal(err)
		}
	}
}
