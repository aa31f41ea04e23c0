package manifest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/tidewaiter/tidewaiter/api/manifest"
	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/test/kubetest"
)

func TestMain(m *testing.M) { kubetest.Main(m) }

// collections are where an API server takes new objects of a kind; %s is the namespace.
var collections = map[string]string{
	"DataSource":     "/apis/tidewaiter.dev/v1alpha1/namespaces/%s/datasources",
	"AccessPolicy":   "/apis/tidewaiter.dev/v1alpha1/namespaces/%s/accesspolicies",
	"Secret":         "/api/v1/namespaces/%s/secrets",
	"Session":        "/apis/tidewaiter.dev/v1alpha1/namespaces/%s/sessions",
	"AccessRequest":  "/apis/tidewaiter.dev/v1alpha1/namespaces/%s/accessrequests",
	"AccessDecision": "/apis/tidewaiter.dev/v1alpha1/namespaces/%s/accessdecisions",
	"Namespace":      "/api/v1/namespaces",
}

// verdict is what an API server says of a manifest: the object as it would be kept, or why not.
type verdict struct {
	kept    []byte // JSON; nil when refused
	fields  []string
	message string
}

var (
	kindLine      = regexp.MustCompile(`"?kind"?: "?(\w+)`)
	namespaceWord = regexp.MustCompile(`"?namespace"?: "?([\w-]+)`)
	unknownField  = regexp.MustCompile(`unknown field "([^"]+)"`)
)

// ask has an API server judge a manifest as it is written, byte for byte. Fields that it does not know hide everything else,
// so that it is asked once more without looking at them.
func ask(t *testing.T, server *kubetest.Server, document string) verdict {
	t.Helper()
	got := post(t, server, document, metav1.FieldValidationStrict)
	if unknown := unknownField.FindAllStringSubmatch(got.message, -1); got.kept == nil && len(unknown) > 0 {
		second := post(t, server, document, metav1.FieldValidationIgnore)
		for _, found := range unknown {
			got.fields = append(got.fields, found[1])
		}
		got.fields = append(got.fields, second.fields...)
	}
	return got
}

func post(t *testing.T, server *kubetest.Server, document, validation string) verdict {
	t.Helper()
	client, err := rest.HTTPClientFor(server.Config)
	if err != nil {
		t.Fatal(err)
	}
	collection, namespace := collections["DataSource"], manifest.DefaultNamespace
	if kind := kindLine.FindStringSubmatch(document); kind != nil && collections[kind[1]] != "" {
		collection = collections[kind[1]]
	}
	if found := namespaceWord.FindStringSubmatch(document); found != nil {
		namespace = found[1]
	}
	if strings.Contains(collection, "%s") {
		collection = fmt.Sprintf(collection, namespace)
	}
	kind := "application/yaml"
	if json.Valid([]byte(document)) {
		kind = "application/json"
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost,
		"https://"+server.Address()+collection+"?dryRun=All&fieldValidation="+validation, strings.NewReader(document))
	if err != nil {
		t.Fatal(err)
	}
	request.Header = http.Header{"Content-Type": {kind}, "Accept": {"application/json"}}
	answer, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return read(t, answer.StatusCode, body)
}

func read(t *testing.T, status int, body []byte) verdict {
	t.Helper()
	if status == http.StatusCreated {
		return verdict{kept: body}
	}
	why := metav1.Status{}
	if err := json.Unmarshal(body, &why); err != nil {
		t.Fatalf("status %d: %v\n%s", status, err, body)
	}
	if status != http.StatusBadRequest && status != http.StatusUnprocessableEntity {
		t.Fatalf("status %d says nothing of the manifest: %s", status, why.Message)
	}
	out := verdict{message: why.Message}
	if why.Details != nil {
		for _, cause := range why.Details.Causes {
			// "<nil>" is the CEL validator's way of saying that there was more wrong before it.
			if cause.Field != "<nil>" {
				out.fields = append(out.fields, cause.Field)
			}
		}
	}
	return out
}

// apiServer is the shared server with the namespaces that the manifests of these tests name, for one test.
func apiServer(t *testing.T) *kubetest.Server {
	t.Helper()
	server := kubetest.Shared(t)
	for _, name := range []string{"data", "shop", "other"} {
		if err := server.CreateNamespace(t.Context(), name, nil); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := server.DeleteNamespace(context.Background(), name); err != nil {
				t.Error(err)
			}
		})
	}
	return server
}

func TestTheSamplesCanBeApplied(t *testing.T) {
	server := apiServer(t)
	server.Kubectl(t, "apply", "-k", samples)
	for _, kind := range []string{"datasources", "accesspolicies"} {
		if got := server.Kubectl(t, "get", kind, "-n", "data", "-o", "name"); strings.Count(got, "\n") != 1 {
			t.Errorf("%s: %q", kind, got)
		}
	}
}

// documentsOf cuts a file at its markers, in a simpler way than the package does.
func documentsOf(t *testing.T, file string) []string {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	cut := regexp.MustCompile(`(?m)^(---|\.\.\.)([ \t].*)?$`).Split(string(content), -1)
	return slices.DeleteFunc(cut, func(document string) bool {
		return !regexp.MustCompile(`(?m)^\s*[^#\s]`).MatchString(document)
	})
}

// odd are manifests at the borders: of YAML 1.1, of JSON's numbers, of defaults, of names and labels.
var odd = map[string]string{
	"a port in quotes":            source(`listen: {port: "5432"}`),
	"a port with a point":         source(`listen: {port: 5432.0}`),
	"a port with a fraction":      source(`listen: {port: 5432.5}`),
	"a port in octal":             source(`listen: {port: 012470}`),
	"a port with an exponent":     source(`listen: {port: 5.432e3}`),
	"a port out of all bounds":    source(`listen: {port: 99999999999999999999}`),
	"a null where a default is":   source(`recording: null`, `listen: {port: 5432}`),
	"a null in a default's place": source(`recording: {rows: null}`, `listen: {port: 5432}`),
	"a null in a list":            source(`classifications: [null]`, `listen: {port: 5432}`),
	"a null for what is required": source(`listen: null`),
	"a list for a mapping":        source(`listen: [5432]`),
	"text for a list":             source(`classifications: all`, `listen: {port: 5432}`),
	"a word that YAML takes for a boolean": strings.Replace(
		source(`listen: {port: 5432}`), "database: orders", "database: on", 1),
	"an anchor and its use":               source(`classifications: [&one {columns: ["*.*.email"], tags: [pii/email]}, *one]`, `listen: {port: 5432}`),
	"a merge":                             source(`listen: {<<: {port: 5432}}`),
	"a status":                            source(`listen: {port: 5432}`) + "status: {conditions: []}\n",
	"a status that is none":               source(`listen: {port: 5432}`) + "status: {conditions: 7, unheard: of}\n",
	"a field beside spec":                 source(`listen: {port: 5432}`) + "specs: {}\n",
	"spec as text":                        "apiVersion: tidewaiter.dev/v1alpha1\nkind: DataSource\nmetadata: {name: odd}\nspec: text\n",
	"spec as null":                        "apiVersion: tidewaiter.dev/v1alpha1\nkind: DataSource\nmetadata: {name: odd}\nspec: null\n",
	"no spec":                             "apiVersion: tidewaiter.dev/v1alpha1\nkind: DataSource\nmetadata: {name: odd}\n",
	"metadata as text":                    "apiVersion: tidewaiter.dev/v1alpha1\nkind: DataSource\nmetadata: odd\n",
	"metadata as a list":                  "apiVersion: tidewaiter.dev/v1alpha1\nkind: AccessPolicy\nmetadata: [odd]\n",
	"no name":                             meta(``),
	"a number for a name":                 meta(`name: 7`),
	"a name with a slash":                 meta(`name: a/b`),
	"a name too long":                     meta(`name: ` + strings.Repeat("a", 254)),
	"a name of full length":               meta(`name: ` + strings.Repeat("a", 253)),
	"a label's key that is none":          meta(`name: odd`, `labels: {"a b": c}`),
	"a label's value that is none":        meta(`name: odd`, `labels: {a: "b c"}`),
	"a label's value too long":            meta(`name: odd`, `labels: {a: `+strings.Repeat("b", 64)+`}`),
	"an annotation's key in capitals":     meta(`name: odd`, `annotations: {"Example.ORG/a": b}`),
	"annotations too large":               meta(`name: odd`, `annotations: {a: `+strings.Repeat("b", 256<<10)+`}`),
	"a finalizer that is none":            meta(`name: odd`, `finalizers: ["a b"]`),
	"an owner without a name":             meta(`name: odd`, `ownerReferences: [{apiVersion: v1, kind: Pod, uid: x}]`),
	"a time that is none":                 meta(`name: odd`, `creationTimestamp: yesterday`),
	"a time that is null":                 meta(`name: odd`, `creationTimestamp: null`),
	"a unknown field of metadata":         meta(`name: odd`, `team: shop`),
	"two unknown fields deep":             source(`listen: {port: 5432, host: x}`, `postgress: {}`),
	"a Secret with a boolean":             "{apiVersion: v1, kind: Secret, metadata: {name: odd}, stringData: {a: true}}",
	"a Secret with a null":                "{apiVersion: v1, kind: Secret, metadata: {name: odd}, data: {a: null}}",
	"a Secret's data as a list":           "{apiVersion: v1, kind: Secret, metadata: {name: odd}, data: [a]}",
	"a Secret with a spec":                "{apiVersion: v1, kind: Secret, metadata: {name: odd}, spec: {}}",
	"a Secret's key with two dots":        "{apiVersion: v1, kind: Secret, metadata: {name: odd}, stringData: {..: a}}",
	"a Secret for TLS without keys":       "{apiVersion: v1, kind: Secret, metadata: {name: odd}, type: kubernetes.io/tls}",
	"a Secret for TLS with keys":          "{apiVersion: v1, kind: Secret, metadata: {name: odd}, type: kubernetes.io/tls, stringData: {tls.crt: a, tls.key: b}}",
	"a Secret for basic-auth":             "{apiVersion: v1, kind: Secret, metadata: {name: odd}, type: kubernetes.io/basic-auth, stringData: {a: b}}",
	"a Secret for basic-auth, half":       "{apiVersion: v1, kind: Secret, metadata: {name: odd}, type: kubernetes.io/basic-auth, stringData: {username: b}}",
	"a Secret for ssh without key":        "{apiVersion: v1, kind: Secret, metadata: {name: odd}, type: kubernetes.io/ssh-auth, stringData: {username: b}}",
	"a Secret for ssh":                    "{apiVersion: v1, kind: Secret, metadata: {name: odd}, type: kubernetes.io/ssh-auth, stringData: {ssh-privatekey: b}}",
	"a Secret for images without a key":   "{apiVersion: v1, kind: Secret, metadata: {name: odd}, type: kubernetes.io/dockerconfigjson}",
	"a Secret for images that is no JSON": "{apiVersion: v1, kind: Secret, metadata: {name: odd}, type: kubernetes.io/dockerconfigjson, stringData: {.dockerconfigjson: '{'}}",
	"a Secret for images":                 "{apiVersion: v1, kind: Secret, metadata: {name: odd}, type: kubernetes.io/dockerconfigjson, stringData: {.dockerconfigjson: '{}'}}",
	"a Secret for images of old":          "{apiVersion: v1, kind: Secret, metadata: {name: odd}, type: kubernetes.io/dockercfg, stringData: {.dockercfg: '[]'}}",
	"a Secret for no account":             "{apiVersion: v1, kind: Secret, metadata: {name: odd}, type: kubernetes.io/service-account-token}",
	"a Secret of full size":               "{apiVersion: v1, kind: Secret, metadata: {name: odd}, stringData: {a: " + strings.Repeat("b", 1<<20) + "}}",
	"a Secret of two halves":              "{apiVersion: v1, kind: Secret, metadata: {name: odd}, stringData: {a: " + strings.Repeat("b", 1<<19) + ", b: " + strings.Repeat("b", 1<<19+1) + "}}",
	"a Secret that must not change":       "{apiVersion: v1, kind: Secret, metadata: {name: odd}, immutable: yes, stringData: {a: b}}",
	"a Secret too large":                  "{apiVersion: v1, kind: Secret, metadata: {name: odd}, stringData: {a: " + strings.Repeat("b", 1<<20+1) + "}}",
	"a Secret's type of its own":          "{apiVersion: v1, kind: Secret, metadata: {name: odd}, type: example.org/mine}",
	"a Namespace with a dot":              "{apiVersion: v1, kind: Namespace, metadata: {name: a.b}}",
	"a Namespace's unknown field":         "{apiVersion: v1, kind: Namespace, metadata: {name: odd}, spek: {}}",
	"a Namespace in a namespace":          "{apiVersion: v1, kind: Namespace, metadata: {name: odd, namespace: odd}}",
	"a Session":                           other("Session", `{pod: {name: a, uid: b}, serviceAccount: a, dataSource: {namespace: data, name: orders}}`),
	"a Session without spec":              other("Session", `{}`),
	"an AccessDecision":                   other("AccessDecision", `{requestRef: {name: a}, decision: Deny}`),
	"an AccessDecision that is none":      other("AccessDecision", `{requestRef: {name: a}, decision: Perhaps}`),
	"an AccessRequest for nothing": other("AccessRequest",
		`{dataSource: {name: a}, policy: b, rule: c, expiresAt: soon, requester: {namespace: data, serviceAccount: b}}`),
	"a document that is no mapping": "[DataSource]",
}

// other is an object of a kind that a cluster writes.
func other(kind, spec string) string {
	return "apiVersion: tidewaiter.dev/v1alpha1\nkind: " + kind + "\nmetadata: {name: odd}\nspec: " + spec + "\n"
}

// source is a DataSource that lacks listen, with more of its spec.
func source(spec ...string) string {
	return "apiVersion: tidewaiter.dev/v1alpha1\nkind: DataSource\nmetadata: {name: odd}\nspec:\n  protocol: postgres\n" +
		"  postgres: {host: db, database: orders}\n  credentials: {secretRef: {name: orders-db}}\n  " + strings.Join(spec, "\n  ") + "\n"
}

// meta is an AccessPolicy with some metadata.
func meta(fields ...string) string {
	return "apiVersion: tidewaiter.dev/v1alpha1\nkind: AccessPolicy\nmetadata:\n  " + strings.Join(fields, "\n  ") +
		"\nspec: {dataSources: [{name: orders}], subjects: [{namespaceSelector: {}}]}\n"
}

func TestAnAPIServerJudgesEveryManifestAsLoadDoes(t *testing.T) {
	server := apiServer(t)
	files, err := filepath.Glob("testdata/wrong/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no wrong manifests: %v", err)
	}
	documents := maps.Clone(odd)
	for _, file := range append(files, "testdata/corpus.yaml") {
		for i, document := range documentsOf(t, file) {
			documents[fmt.Sprintf("%s %d", filepath.Base(file), i+1)] = document
		}
	}
	for _, name := range slices.Sorted(maps.Keys(documents)) {
		if strings.Contains(documents[name], `"kind": "List"`) {
			continue // kubectl takes Lists apart; an API server knows none
		}
		t.Run(name, func(t *testing.T) { judgeBoth(t, server, documents[name]) })
	}
}

func judgeBoth(t *testing.T, server *kubetest.Server, document string) {
	t.Helper()
	theirs := ask(t, server, document)
	set, err := manifest.Parse("odd.yaml", []byte(document))
	var problems manifest.Problems
	if err != nil && !errors.As(err, &problems) {
		t.Fatal(err)
	}
	switch {
	case theirs.kept == nil && err == nil:
		t.Errorf("the API server refuses it, Load does not: %s %q", theirs.message, theirs.fields)
	case theirs.kept != nil && err != nil:
		t.Errorf("the API server accepts it, Load does not: %v", err)
	case err != nil:
		compareFields(t, theirs, problems)
	default:
		compareObjects(t, theirs.kept, set)
	}
}

// compareFields wants each field that one side names to be named by the other, too. A field may be named more closely by one of
// them: data by the one, data[a key] by the other. Where the API server cannot even decode, it names none.
func compareFields(t *testing.T, theirs verdict, problems manifest.Problems) {
	t.Helper()
	if len(theirs.fields) == 0 {
		return
	}
	var ours []string
	for _, problem := range problems {
		ours = append(ours, problem.Field)
	}
	for _, field := range theirs.fields {
		if !slices.ContainsFunc(ours, func(other string) bool { return near(field, other) }) {
			t.Errorf("the API server names %s, Load does not\nserver: %s\nLoad: %v", field, theirs.message, problems)
		}
	}
	for _, field := range ours {
		if !slices.ContainsFunc(theirs.fields, func(other string) bool { return near(field, other) }) {
			t.Errorf("Load names %s, the API server does not\nserver: %s\nLoad: %v", field, theirs.message, problems)
		}
	}
}

func near(a, b string) bool {
	return a == b || strings.HasPrefix(a, b+".") || strings.HasPrefix(a, b+"[") || strings.HasPrefix(b, a+".") || strings.HasPrefix(b, a+"[")
}

// compareObjects wants the object that an API server would keep, defaults included.
func compareObjects(t *testing.T, kept []byte, set *manifest.Set) {
	t.Helper()
	var want, got any
	switch {
	case len(set.DataSources) == 1:
		object := decoded[v1alpha1.DataSource](t, kept)
		want, got = object.Spec, set.DataSources[0].Spec
	case len(set.Policies) == 1:
		object := decoded[v1alpha1.AccessPolicy](t, kept)
		want, got = object.Spec, set.Policies[0].Spec
	case len(set.Secrets) == 1:
		object := decoded[corev1.Secret](t, kept)
		want, got = texts(object.Data), texts(set.Secrets[0].Data)
	case len(set.Namespaces) == 1:
		object := decoded[corev1.Namespace](t, kept)
		want, got = object.Labels, set.Namespaces[0].Labels
	case len(set.Warnings) == 1:
		return // left out: nothing here uses it
	default:
		t.Fatalf("the API server keeps %s, Load nothing", kept)
	}
	if !reflect.DeepEqual(plain(t, got), plain(t, want)) {
		t.Errorf("Load makes of it\n%+v\nthe API server\n%+v", got, want)
	}
}

// texts are the values of a Secret; an empty one is like a missing one.
func texts(data map[string][]byte) map[string]string {
	out := make(map[string]string, len(data))
	for key, value := range data {
		out[key] = string(value)
	}
	return out
}

// plain is a value as JSON says it, which is all that there is to compare.
func plain(t *testing.T, value any) any {
	t.Helper()
	content, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	var out any
	if err := json.Unmarshal(content, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func decoded[T any](t *testing.T, content []byte) T {
	t.Helper()
	var out T
	if err := json.Unmarshal(content, &out); err != nil {
		t.Fatal(err)
	}
	return out
}
