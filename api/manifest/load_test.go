package manifest_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/tidewaiter/tidewaiter/api/manifest"
	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
)

const samples = "../../config/samples"

func TestTheSamplesLoadAndReferToEachOther(t *testing.T) {
	set := mustLoad(t, samples)
	if got := [4]int{len(set.DataSources), len(set.Policies), len(set.Secrets), len(set.Namespaces)}; got != [4]int{1, 1, 2, 2} {
		t.Errorf("DataSources, Policies, Secrets, Namespaces: got %v", got)
	}
	if len(set.Warnings) > 0 {
		t.Errorf("warnings: %q", set.Warnings)
	}
	warnings, err := manifest.Check(set)
	if err != nil || len(warnings) > 0 {
		t.Errorf("Check: %v, warnings %q", err, warnings)
	}
}

func TestCompactManifestsOfTheCorpusLoad(t *testing.T) {
	set := mustLoad(t, "testdata/corpus.yaml")
	source, policy := set.DataSources[0].Spec, set.Policies[0].Spec
	if source.Postgres.TLS.Mode != v1alpha1.TLSDisable || len(source.Classifications) != 4 {
		t.Errorf("DataSource: %+v", source)
	}
	if policy.Subjects[0].NamespaceSelector == nil || len(policy.Rules) != 2 {
		t.Errorf("AccessPolicy: %+v", policy)
	}
	if _, err := manifest.Check(set, manifest.CredentialsElsewhere()); err != nil {
		t.Errorf("without Secrets, as when credentials come from the environment: %v", err)
	}
}

func TestDefaultsAreThoseOfTheSchema(t *testing.T) {
	set := mustParse(t, `
apiVersion: tidewaiter.dev/v1alpha1
kind: DataSource
metadata: {name: orders}
spec:
  protocol: postgres
  postgres: {host: "::1", database: orders}
  credentials: {secretRef: {name: orders-db}}
  listen: {port: 5432}
---
apiVersion: tidewaiter.dev/v1alpha1
kind: AccessPolicy
metadata: {name: reporting}
spec:
  dataSources: [{name: orders}]
  subjects: [{serviceAccounts: [report-agent]}]
  rules:
  - name: read
    action: RequireApproval
    statements: ["*"]
    approval: {}
    limits: {bytesPerHour: 1.5Gi, rowsPerHour: 10}
`)
	source, policy := set.DataSources[0], set.Policies[0]
	if source.Namespace != manifest.DefaultNamespace {
		t.Errorf("namespace: %q", source.Namespace)
	}
	if source.Spec.Postgres.Port != 5432 || source.Spec.Postgres.TLS.Mode != v1alpha1.TLSVerifyFull {
		t.Errorf("postgres: %+v", source.Spec.Postgres)
	}
	if source.Spec.AllowedNamespaces.From != v1alpha1.NamespacesSame {
		t.Errorf("allowedNamespaces: %+v", source.Spec.AllowedNamespaces)
	}
	if want := (v1alpha1.Recording{Rows: v1alpha1.RecordRowsMasked, Durability: v1alpha1.DurabilityStatement, OnRecorderLoss: v1alpha1.RecorderLossDeny}); source.Spec.Recording != want {
		t.Errorf("recording: %+v", source.Spec.Recording)
	}
	if policy.Spec.Mode != v1alpha1.ModeEnforce || policy.Spec.Predicates != v1alpha1.PredicatesFlag {
		t.Errorf("mode, predicates: %q, %q", policy.Spec.Mode, policy.Spec.Predicates)
	}
	rule := policy.Spec.Rules[0]
	if rule.Limits.OnExceed != v1alpha1.ExceedDeny || rule.Limits.BytesPerHour.Cmp(resource.MustParse("1536Mi")) != 0 {
		t.Errorf("limits: %+v", rule.Limits)
	}
	if got := *rule.Approval; got.Timeout.Duration != 15*time.Minute || !reflect.DeepEqual(got, (&v1alpha1.Rule{}).EffectiveApproval()) {
		t.Errorf("approval: %+v", got)
	}
}

func TestSecretsAndNamespacesAreWhatAnAPIServerWouldHold(t *testing.T) {
	set := mustParse(t, `
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {team: shop}}}
- apiVersion: v1
  kind: Secret
  metadata: {name: orders-db, namespace: data}
  data: {username: b3JkZXJz, password: b2xk}
  stringData: {password: new}
`)
	if got := set.Namespaces[0].Labels; got["kubernetes.io/metadata.name"] != "shop" || got["team"] != "shop" {
		t.Errorf("labels: %v", got)
	}
	secret := set.Secrets[0]
	if string(secret.Data["username"]) != "orders" || string(secret.Data["password"]) != "new" || secret.StringData != nil {
		t.Errorf("secret: %v, %v", secret.Data, secret.StringData)
	}
}

func TestObjectsOfOtherKindsAreLeftOutWithAWarning(t *testing.T) {
	set := mustParse(t, `
apiVersion: apps/v1
kind: Deployment
metadata: {name: report, namespace: shop}
`)
	want := "shop.yaml:2: Deployment shop/report (document 1): ignored: Deployment of apps/v1 is not used here"
	if len(set.Warnings) != 1 || set.Warnings[0] != want {
		t.Errorf("warnings: got %q, want %q", set.Warnings, want)
	}
}

func TestWhatAClusterWroteIsLeftOutWithAWarningToo(t *testing.T) {
	set := mustParse(t, `
apiVersion: tidewaiter.dev/v1alpha1
kind: AccessDecision
metadata: {name: never, namespace: data}
spec: {requestRef: {name: drop-everything}, decision: Deny}
`)
	want := "shop.yaml:2: AccessDecision data/never (document 1): ignored: AccessDecision of tidewaiter.dev/v1alpha1 is not used here"
	if len(set.Warnings) != 1 || set.Warnings[0] != want {
		t.Errorf("warnings: got %q, want %q", set.Warnings, want)
	}
}

func TestJSONWithTabsIsAManifestToo(t *testing.T) {
	set := mustParse(t, "{\n\t\"apiVersion\": \"v1\",\n\t\"kind\": \"Namespace\",\n\t\"metadata\": {\"name\": \"shop\"}\n}\n")
	if len(set.Namespaces) != 1 {
		t.Errorf("namespaces: %v", set.Namespaces)
	}
}

func TestAFolderIsItsManifestsAndEachFileIsReadOnce(t *testing.T) {
	folder := t.TempDir()
	write(t, folder, "a.yaml", namespace("a"))
	write(t, folder, "b.yml", "# nothing\n---\n...\n")
	write(t, folder, "c.json", `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"c"}}`)
	write(t, folder, ".d.yaml", "not: [a manifest")
	write(t, folder, "readme.md", "not: [a manifest")
	if err := os.MkdirAll(filepath.Join(folder, "more.yaml"), 0o755); err != nil {
		t.Fatal(err)
	}
	set := mustLoad(t, folder, filepath.Join(folder, "a.yaml"))
	if len(set.Namespaces) != 2 || set.Namespaces[0].Name != "a" || set.Namespaces[1].Name != "c" {
		t.Errorf("namespaces: %v", set.Namespaces)
	}
}

func TestPathsThatHoldNoManifestsAreRefused(t *testing.T) {
	folder := t.TempDir()
	for name, c := range map[string]struct {
		paths []string
		want  string
	}{
		"no path":             {nil, "no manifests given: name a file, or a folder with *.yaml, *.yml or *.json files"},
		"a file not there":    {[]string{"nowhere.yaml"}, "nowhere.yaml: cannot be read: no such file or directory"},
		"a folder of nothing": {[]string{folder}, folder + ": folder holds no manifests: there is no *.yaml, *.yml or *.json file directly in it"},
		"an endless file":     {[]string{"/dev/zero"}, "/dev/zero: is larger than 4 MiB, which no manifest is"},
	} {
		t.Run(name, func(t *testing.T) {
			set, err := manifest.Load(c.paths...)
			if err == nil || err.Error() != c.want || set != nil {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

func TestOnlySoManyProblemsAreShown(t *testing.T) {
	_, err := manifest.Parse("shop.yaml", []byte(strings.Repeat("---\n{}\n", 60)))
	var problems manifest.Problems
	if !errors.As(err, &problems) || len(problems) != 60 {
		t.Fatalf("problems: %v", err)
	}
	if got := strings.Split(err.Error(), "\n"); len(got) != 51 || got[50] != "… and 10 more" {
		t.Errorf("lines: %d, the last is %q", len(got), got[len(got)-1])
	}
}

func TestTooManyDocumentsAreRefused(t *testing.T) {
	_, err := manifest.Parse("shop.yaml", []byte(strings.Repeat("---\n"+namespace("a"), 5001)))
	if err == nil || !strings.Contains(err.Error(), "more than 5000 documents; give fewer files") {
		t.Errorf("got %v", err)
	}
}

func namespace(name string) string {
	return "apiVersion: v1\nkind: Namespace\nmetadata: {name: " + name + "}\n"
}

func write(t *testing.T, folder, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func mustLoad(t *testing.T, paths ...string) *manifest.Set {
	t.Helper()
	set, err := manifest.Load(paths...)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func mustParse(t *testing.T, content string) *manifest.Set {
	t.Helper()
	set, err := manifest.Parse("shop.yaml", []byte(content))
	if err != nil {
		t.Fatal(err)
	}
	return set
}
