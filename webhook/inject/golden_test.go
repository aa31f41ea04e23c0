package inject

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	"sigs.k8s.io/yaml"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/injection"
)

var update = flag.Bool("update", false, "write the golden files instead of comparing")

// scenario is a golden input. The pod is kept as it is written, unknown fields and all.
type scenario struct {
	About     string
	Namespace string            // shop
	Labels    map[string]string // added to those of an opted-in namespace; an empty value removes one
	Strict    bool
	NoNative  bool // a cluster without native sidecars
	Pod       json.RawMessage
}

func (s *scenario) namespace() Namespace {
	ns := Namespace{Name: s.Namespace, Labels: map[string]string{"team": "shop", injection.NamespaceLabel: injection.NamespaceEnabled}}
	if ns.Name == "" {
		ns.Name = "shop"
	}
	maps.Copy(ns.Labels, s.Labels)
	maps.DeleteFunc(ns.Labels, func(_, v string) bool { return v == "" })
	return ns
}

func (s *scenario) settings() *Settings {
	return &Settings{
		Settings:       injection.Settings{Image: "registry.example/tidewaiter-proxy:v1", Operator: injection.OperatorAddress},
		NativeSidecars: !s.NoNative, Strict: s.Strict,
	}
}

func (s *scenario) inject(t testing.TB, pod []byte) (*Result, error) {
	t.Helper()
	return Pod(pod, s.namespace(), dataSources(t), s.settings())
}

// readSources reads testdata/datasources.yaml.
var readSources = sync.OnceValues(func() (map[string]*v1alpha1.DataSource, error) {
	raw, err := os.ReadFile("testdata/datasources.yaml")
	if err != nil {
		return nil, err
	}
	var list struct{ Items []v1alpha1.DataSource }
	if err := yaml.UnmarshalStrict(raw, &list); err != nil {
		return nil, err
	}
	found := map[string]*v1alpha1.DataSource{}
	for i := range list.Items {
		found[list.Items[i].Namespace+"/"+list.Items[i].Name] = &list.Items[i]
	}
	return found, nil
})

func dataSources(t testing.TB) Sources {
	t.Helper()
	found, err := readSources()
	if err != nil {
		t.Fatal(err)
	}
	return func(namespace, name string) (*v1alpha1.DataSource, bool) {
		ds, ok := found[namespace+"/"+name]
		return ds, ok
	}
}

// scenarios reads every golden input by name.
func scenarios(t testing.TB) map[string]*scenario {
	t.Helper()
	files, err := filepath.Glob("testdata/*.in.yaml")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]*scenario{}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var s scenario
		if err := yaml.UnmarshalStrict(raw, &s); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		out[strings.TrimSuffix(filepath.Base(file), ".in.yaml")] = &s
	}
	if len(out) < 40 {
		t.Fatalf("%d golden inputs, at least 40 are promised", len(out))
	}
	return out
}

// apply patches as the API server does, with the same library.
func apply(t testing.TB, pod []byte, operations []Operation) []byte {
	t.Helper()
	if len(operations) == 0 {
		return pod
	}
	raw, err := json.Marshal(operations)
	if err != nil {
		t.Fatal(err)
	}
	decoded, err := jsonpatch.DecodePatch(raw)
	if err != nil {
		t.Fatal(err)
	}
	out, err := decoded.Apply(pod)
	if err != nil {
		t.Fatalf("%v\npatch: %s", err, raw)
	}
	return out
}

func TestPodsBecomeWhatTheGoldenFilesSay(t *testing.T) {
	for name, s := range scenarios(t) {
		t.Run(name, func(t *testing.T) {
			if s.About == "" {
				t.Error("the scenario does not say what it is about")
			}
			out, denied := "testdata/"+name+".out.yaml", "testdata/"+name+".denied.txt"
			result, err := s.inject(t, s.Pod)
			if err != nil {
				compareGolden(t, denied, out, err.Error()+"\n")
				return
			}
			compareGolden(t, out, denied, render(t, apply(t, s.Pod, result.Patch), result.Warnings))
		})
	}
}

// render writes a pod as YAML, after the warnings.
func render(t *testing.T, pod []byte, warnings []string) string {
	t.Helper()
	text, err := yaml.JSONToYAML(pod)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, w := range warnings {
		fmt.Fprintf(&b, "# Warning: %s\n", w)
	}
	b.Write(text)
	return b.String()
}

// compareGolden also sees to it that the other file, of the opposite outcome, is not there.
func compareGolden(t *testing.T, file, other, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
		_ = os.Remove(other)
		return
	}
	if _, err := os.Stat(other); err == nil {
		t.Errorf("%s is there, but the outcome was the opposite", other)
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v (run the test with -update)\ngot:\n%s", err, got)
	}
	if !bytes.Equal(want, []byte(got)) {
		t.Errorf("%s differs (run with -update, then read the difference)\ngot:\n%s", file, got)
	}
}
