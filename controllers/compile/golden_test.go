package compile

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/bundle"
	"sigs.k8s.io/yaml"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
)

var update = flag.Bool("update", false, "write the golden files instead of comparing")

// scenario is a golden input: manifests and the workload they are compiled for.
type scenario struct {
	Subject    Subject
	DataSource v1alpha1.DataSource
	Policies   []v1alpha1.AccessPolicy
}

func (s *scenario) input() Input {
	return Input{
		DataSource: &s.DataSource, Policies: s.Policies, Subject: s.Subject,
		Revision: 17, Audience: AudienceLocal, Key: testKey(),
		NotAfter: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC),
	}
}

// testKey is always the same, so that signatures are.
func testKey() ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))
}

func readScenario(t *testing.T, file string) *scenario {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var s scenario
	if err := yaml.UnmarshalStrict(raw, &s); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return &s
}

func TestBundlesHoldWhatTheGoldenFilesSay(t *testing.T) {
	inputs, err := filepath.Glob("testdata/*.in.yaml")
	if err != nil || len(inputs) == 0 {
		t.Fatalf("no golden inputs: %v", err)
	}
	for _, file := range inputs {
		base := strings.TrimSuffix(file, ".in.yaml")
		t.Run(filepath.Base(base), func(t *testing.T) {
			raw, err := Bundle(readScenario(t, file).input())
			if err != nil {
				compareGolden(t, base+".error.txt", []byte(err.Error()+"\n"))
				return
			}
			b, err := bundle.NewReader(bytes.NewReader(raw)).WithSkipBundleVerification(true).Read()
			if err != nil {
				t.Fatal(err)
			}
			compareGolden(t, base+".data.json", indented(t, b.Data))
			compareGolden(t, base+".manifest.json", indented(t, b.Manifest))
			for _, m := range b.Modules {
				if name, custom := strings.CutPrefix(m.Path, "/tidewaiter/custom/"); custom {
					compareGolden(t, base+"."+strings.ReplaceAll(name, "/", "."), m.Raw)
				}
			}
		})
	}
}

func indented(t *testing.T, v any) []byte {
	t.Helper()
	out, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(out, '\n')
}

func compareGolden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, got, 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v (run the test with -update)", err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (run with -update, then read the difference)\ngot:\n%s", file, got)
	}
}
