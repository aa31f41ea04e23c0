package local_test

import (
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/api/manifest"
	"github.com/tidewaiter/tidewaiter/local"
)

// subjects are manifests with a policy of the given spec.subjects, in flow style.
func subjects(t *testing.T, entries string) *manifest.Set {
	t.Helper()
	set, err := manifest.Parse("subjects.yaml", []byte(`
{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {team: shop}}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: lab, labels: {team: lab}}}
---
apiVersion: tidewaiter.dev/v1alpha1
kind: DataSource
metadata: {name: orders, namespace: data}
spec:
  protocol: postgres
  postgres: {host: db, database: shop}
  credentials: {secretRef: {name: orders-db}}
  allowedNamespaces: {selector: {matchExpressions: [{key: team, operator: Exists}]}}
  listen: {port: 5432}
---
apiVersion: tidewaiter.dev/v1alpha1
kind: AccessPolicy
metadata: {name: reporting, namespace: data}
spec:
  dataSources: [{name: orders}]
  subjects: `+entries+`
`))
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func TestTheSubjectIsTheOneThatTheManifestsLeaveNoChoiceAbout(t *testing.T) {
	const agent = `[{namespaceSelector: {matchLabels: {team: shop}}, serviceAccounts: [report-agent], podSelector: {matchLabels: {app: report}}}]`
	for _, c := range []struct {
		what, entries string
		request       local.SubjectRequest
		want          string // as DescribeSubject writes it, or a part of the error
	}{
		{"one account in one namespace", agent, local.SubjectRequest{}, "shop/report-agent --labels app=report"},
		{"with other labels", agent, local.SubjectRequest{Labels: map[string]string{"app": "other"}}, "shop/report-agent --labels app=other"},
		{"named, with the policy's labels", agent, local.SubjectRequest{As: "shop/report-agent"}, "shop/report-agent --labels app=report"},
		{"named, without labels", agent, local.SubjectRequest{As: "shop/report-agent", Labels: map[string]string{}}, "shop/report-agent"},
		{"named, and not in any policy", agent, local.SubjectRequest{As: "lab/somebody"}, "lab/somebody"},
		{"any account of a namespace", `[{namespaceSelector: {matchLabels: {team: lab}}}]`, local.SubjectRequest{}, "lab/default"},
		{"an expression", `[{namespaceSelector: {matchLabels: {team: lab}}, podSelector: {matchExpressions: [{key: app, operator: In, values: [b, a]}]}}]`, local.SubjectRequest{}, "lab/default --labels app=b"},
		{"two accounts", `[{namespaceSelector: {matchLabels: {team: shop}}, serviceAccounts: [a, b]}]`, local.SubjectRequest{}, "pass one of: --as shop/a; --as shop/b"},
		{"two namespaces", `[{namespaceSelector: {}, serviceAccounts: [a]}]`, local.SubjectRequest{}, "pass one of: --as shop/a; --as lab/a"},
		{"no namespace known", `[{namespaceSelector: {matchLabels: {team: none}}, serviceAccounts: [a]}]`, local.SubjectRequest{}, "pass --as namespace/serviceaccount"},
		{"a namespace that may not attach", `[{serviceAccounts: [a]}]`, local.SubjectRequest{}, "pass --as namespace/serviceaccount"},
		{"half a name", agent, local.SubjectRequest{As: "report-agent"}, `--as "report-agent": write it as namespace/serviceaccount`},
		{"too much of a name", agent, local.SubjectRequest{As: "a/b/c"}, `--as "a/b/c": write it as namespace/serviceaccount`},
	} {
		t.Run(c.what, func(t *testing.T) {
			subject, err := local.ChooseSubject(subjects(t, c.entries), c.request)
			got := local.DescribeSubject(subject)
			if err != nil {
				got = err.Error()
			}
			if err == nil && got != c.want || !strings.Contains(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestLabelsOfANamespaceComeFromItsManifestAndFromWhatIsAdded(t *testing.T) {
	set := subjects(t, `[{namespaceSelector: {}}]`)
	got := local.NamespaceLabels(set, "shop", map[string]string{"tier": "gold"})
	if got["team"] != "shop" || got["tier"] != "gold" || got["kubernetes.io/metadata.name"] != "shop" {
		t.Errorf("got %v", got)
	}
	if got := local.NamespaceLabels(set, "unknown", nil); len(got) != 1 || got["kubernetes.io/metadata.name"] != "unknown" {
		t.Errorf("a namespace without a manifest has the labels %v", got)
	}
}

func TestASubjectThatNoPolicySelectsIsWarnedAbout(t *testing.T) {
	set := subjects(t, `[{namespaceSelector: {}, serviceAccounts: [a]}]`)
	subject, err := local.ChooseSubject(set, local.SubjectRequest{As: "shop/b"})
	if err != nil {
		t.Fatal(err)
	}
	warnings := strings.Join(local.Warnings(local.Options{Set: set, Subject: subject}), "\n")
	if !strings.Contains(warnings, "no AccessPolicy selects shop/b") {
		t.Errorf("the warnings are %q", warnings)
	}
}
