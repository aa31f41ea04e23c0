package manifest_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tidewaiter/tidewaiter/api/manifest"
	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
)

const orders = `
apiVersion: tidewaiter.dev/v1alpha1
kind: DataSource
metadata: {name: orders, namespace: data}
spec:
  protocol: postgres
  postgres: {host: db, database: orders}
  credentials: {secretRef: {name: orders-db}}
  listen: {port: 5432}
  classifications:
  - {columns: ["*.*.email"], tags: [pii/email]}
---
apiVersion: v1
kind: Secret
metadata: {name: orders-db, namespace: data}
stringData: {username: me, password: mine}
---
`

func TestADataSourceWithoutPolicyIsWarnedOf(t *testing.T) {
	warnings, err := manifest.Check(mustParse(t, orders))
	if err != nil {
		t.Fatal(err)
	}
	want := "shop.yaml:2: DataSource data/orders (document 1): no AccessPolicy speaks of it, so that every statement is denied"
	if len(warnings) != 1 || warnings[0] != want {
		t.Errorf("got %q, want %q", warnings, want)
	}
}

func TestAMaskForATagThatNothingCarriesIsWarnedOf(t *testing.T) {
	warnings, err := manifest.Check(mustParse(t, orders+`
apiVersion: tidewaiter.dev/v1alpha1
kind: AccessPolicy
metadata: {name: reporting, namespace: data}
spec:
  dataSources: [{name: orders}]
  subjects: [{namespaceSelector: {}}]
  masks:
  - {tags: ["pii/*", "*"], strategy: Hash}
  - {tags: [pii/mail], strategy: Reveal}
`))
	if err != nil {
		t.Fatal(err)
	}
	want := `shop.yaml:27: AccessPolicy data/reporting (document 3): spec.masks[1].tags[0]: no classification has a tag that "pii/mail" matches; its columns are redacted`
	if len(warnings) != 1 || warnings[0] != want {
		t.Errorf("got %q, want %q", warnings, want)
	}
}

func TestAnAllowRuleThatForgotItsTablesIsWarnedOf(t *testing.T) {
	warnings, err := manifest.Check(mustParse(t, orders+`
apiVersion: tidewaiter.dev/v1alpha1
kind: AccessPolicy
metadata: {name: reporting, namespace: data}
spec:
  dataSources: [{name: orders}]
  subjects: [{namespaceSelector: {}}]
  rules:
  - {name: session, action: Allow, statements: [Session, Transaction, Explain, Notify]}
  - {name: read, action: Allow, statements: [Session, Select]}
  - {name: all, action: Allow, statements: ["*"], tables: ["*.*"]}
  - {name: never, action: Deny, statements: [DDL]}
`))
	if err != nil {
		t.Fatal(err)
	}
	want := `shop.yaml:27: AccessPolicy data/reporting (document 3): spec.rules[1]: allows only what uses no table, since it names none: add tables, ["*.*"] for all`
	if len(warnings) != 1 || warnings[0] != want {
		t.Errorf("got %q, want %q", warnings, want)
	}
}

func TestCredentialsFromElsewhereNeedNoSecretButCertificatesDo(t *testing.T) {
	source := v1alpha1.DataSource{ObjectMeta: metav1.ObjectMeta{Namespace: "data", Name: "orders"}}
	source.Spec.Credentials.SecretRef.Name = "orders-db"
	source.Spec.Postgres = &v1alpha1.PostgresSource{}
	source.Spec.Postgres.TLS.CASecretRef = &v1alpha1.SecretKeyReference{Name: "orders-ca", Key: "ca.crt"}
	set := &manifest.Set{DataSources: []v1alpha1.DataSource{source}}

	_, err := manifest.Check(set, manifest.CredentialsElsewhere())
	want := "DataSource data/orders: spec.postgres.tls.caSecretRef.name: Secret data/orders-ca is not there: add its manifest"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if _, err = manifest.Check(set); err == nil || !strings.Contains(err.Error(), "spec.credentials.secretRef.name: Secret data/orders-db is not there") {
		t.Errorf("got %v", err)
	}
}

func TestASetPutTogetherInMemoryIsCheckedForDuplicatesToo(t *testing.T) {
	one := corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}
	_, err := manifest.Check(&manifest.Set{Namespaces: []corev1.Namespace{one, one}})
	want := "Namespace shop: metadata.name: is there twice in this set: rename or remove one of the two"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
