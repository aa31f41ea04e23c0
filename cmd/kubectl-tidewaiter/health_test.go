package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/plugin/cluster"
	"github.com/tidewaiter/tidewaiter/plugin/doctor"
	"github.com/tidewaiter/tidewaiter/test/kubetest"
)

// session makes a Session as the operator does.
func (o *owner) session(t *testing.T, name string, statements int64) *v1alpha1.Session {
	t.Helper()
	s := &v1alpha1.Session{
		ObjectMeta: metav1.ObjectMeta{Namespace: o.ns, Name: name},
		Spec: v1alpha1.SessionSpec{
			Pod: v1alpha1.PodReference{Name: "report-7d9f", UID: "u1"}, ServiceAccount: "report-agent", DataSource: v1alpha1.NamespacedReference{Namespace: o.ns, Name: "orders"},
		},
	}
	if err := o.Create(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	before := s.DeepCopy()
	now := metav1.Now()
	s.Status = v1alpha1.SessionStatus{State: v1alpha1.SessionActive, Statements: statements, Denied: 3, Masked: 88_120, Rows: 1204, Bytes: 5 << 20, LastActivity: &now, Revision: 4}
	if err := o.Status().Patch(t.Context(), s, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSessionsHaveTheirCounters(t *testing.T) {
	o := newOwner(t)
	o.session(t, "report-7d9f-orders", 1204)
	code, out, errOut := o.run("sessions")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if code != 0 || errOut != "" || len(lines) != 2 {
		t.Fatalf("exit code %d: %s%s", code, out, errOut)
	}
	if got, want := strings.Join(strings.Fields(lines[1]), " "), "report-7d9f-orders report-7d9f "+o.ns+"/orders Active 1,204 3 88,120 0 1,204 5.0 MiB "; !strings.HasPrefix(got, want) {
		t.Errorf("the row is %s\nwant %s", got, want)
	}
	if _, out, _ := o.run("sessions", "--datasource", "data/other", "-o", "name"); out != "" {
		t.Errorf("of another DataSource: %s", out)
	}
}

func TestDoctorFindsWhatIsMissingAndIsContentWhenItIsThere(t *testing.T) {
	s, err := kubetest.Start(kubetest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Stop() })
	code, out, errOut := run("doctor", "--kubeconfig", s.KubeConfig)
	if code != 1 || errOut != "" {
		t.Fatalf("exit code %d: %s%s", code, out, errOut)
	}
	for _, want := range []string{
		"ok    tidewaiter.dev/v1alpha1: served, with all 5 kinds", "FAIL  Deployment tidewaiter-system/tidewaiter-operator: is not there",
		"FAIL  MutatingWebhookConfiguration tidewaiter-injector: is not there", "FAIL  ValidatingAdmissionPolicy tidewaiter-injected-pods: is not there",
		"warn  namespaces: none is labeled tidewaiter.dev/injection=enabled",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}
	s.Kubectl(t, "apply", "-k", filepath.Join("..", "..", "config", "default"))
	runs(t, s)
	code, out, errOut = run("doctor", "--kubeconfig", s.KubeConfig)
	if code != 0 || errOut != "" || strings.Contains(out, "FAIL") {
		t.Errorf("exit code %d: %s%s", code, out, errOut)
	}
	var report doctor.Report
	if _, out, _ := run("doctor", "--kubeconfig", s.KubeConfig, "-o", "json"); json.Unmarshal([]byte(out), &report) != nil || !report.Healthy || len(report.Sections) != 7 {
		t.Errorf("json: %s", out)
	}
	broken(t, s)
	_, out, _ = run("doctor", "--kubeconfig", s.KubeConfig)
	for _, want := range []string{
		"FAIL  webhook inject.tidewaiter.dev: has failurePolicy Ignore", "FAIL  ValidatingAdmissionPolicyBinding tidewaiter-tokens: does not deny",
		"last renewed it 5m ago: no status is written", "FAIL  Deployment tidewaiter-system/tidewaiter-operator: 0 of 2 replicas are ready",
		"FAIL  DataSource data/orders: nobody has allowed it", "let the operator read that Secret, by name",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}
}

// runs does what a Deployment's controller and the operator would.
func runs(t *testing.T, s *kubetest.Server) {
	t.Helper()
	c, err := cluster.New(s.Config, "default", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "tidewaiter-system", Name: "tidewaiter-operator"}}
	patch(t, c.Status(), d, `{"status": {"replicas": 2, "readyReplicas": 2, "availableReplicas": 2}}`)
	for i := range 3 {
		patch(t, c, &admissionv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "tidewaiter-injector"}},
			fmt.Sprintf(`[{"op": "add", "path": "/webhooks/%d/clientConfig/caBundle", "value": "%s"}]`, i, base64CA(s)))
	}
	renewed, holder, seconds := metav1.NewMicroTime(time.Now()), "a", int32(15)
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: d.Namespace, Name: d.Name}, Spec: coordinationv1.LeaseSpec{HolderIdentity: &holder, LeaseDurationSeconds: &seconds, RenewTime: &renewed}}
	if err := c.Create(t.Context(), lease); err != nil {
		t.Fatal(err)
	}
	s.Apply(t, "{apiVersion: v1, kind: Namespace, metadata: {name: data}}")
	s.Kubectl(t, "label", "namespace", "data", "tidewaiter.dev/injection=enabled")
}

// broken undoes some of it.
func broken(t *testing.T, s *kubetest.Server) {
	t.Helper()
	c, err := cluster.New(s.Config, "default", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	name := metav1.ObjectMeta{Namespace: "tidewaiter-system", Name: "tidewaiter-operator"}
	patch(t, c.Status(), &appsv1.Deployment{ObjectMeta: name}, `{"status": {"replicas": 2, "readyReplicas": 0, "availableReplicas": 0}}`)
	patch(t, c, &admissionv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "tidewaiter-injector"}}, `[{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Ignore"}]`)
	patch(t, c, &admissionv1.ValidatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: "tidewaiter-tokens"}}, `{"spec": {"validationActions": ["Audit"]}}`)
	patch(t, c, &coordinationv1.Lease{ObjectMeta: name}, `{"spec": {"renewTime": "`+time.Now().Add(-5*time.Minute-time.Second).UTC().Format("2006-01-02T15:04:05.000000Z")+`"}}`)
	s.Apply(t, `{apiVersion: tidewaiter.dev/v1alpha1, kind: DataSource, metadata: {name: orders, namespace: data}, spec: {protocol: postgres, postgres: {host: db, database: d},
  credentials: {secretRef: {name: s}}, listen: {port: 5432}}}`)
	condition := func(kind, status, reason, message string) string {
		return `{"type": "` + kind + `", "status": "` + status + `", "reason": "` + reason + `", "message": "` + message + `", "lastTransitionTime": "2026-01-01T00:00:00Z"}`
	}
	patch(t, c.Status(), &v1alpha1.DataSource{ObjectMeta: metav1.ObjectMeta{Namespace: "data", Name: "orders"}},
		`{"status": {"conditions": [`+condition("ResolvedRefs", "False", v1alpha1.ReasonSecretForbidden, "nobody has allowed it")+`, `+condition("Ready", "False", "NotReady", "ResolvedRefs")+`]}}`)
}

func base64CA(s *kubetest.Server) string { return base64.StdEncoding.EncodeToString(s.Config.CAData) }

// patch applies a JSON patch or a merge patch.
func patch(t *testing.T, w any, obj client.Object, text string) {
	t.Helper()
	kind := types.MergePatchType
	if strings.HasPrefix(text, "[") {
		kind = types.JSONPatchType
	}
	var err error
	switch w := w.(type) {
	case client.SubResourceWriter:
		err = w.Patch(t.Context(), obj, client.RawPatch(kind, []byte(text)))
	case client.Writer:
		err = w.Patch(t.Context(), obj, client.RawPatch(kind, []byte(text)))
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestStatusOfADeploymentIsThatOfItsPods(t *testing.T) {
	o := newOwner(t)
	o.server.Apply(t, `
apiVersion: apps/v1
kind: Deployment
metadata: {name: report}
spec:
  selector: {matchLabels: {app: report}}
  template: {metadata: {labels: {app: report}}, spec: {containers: [{name: a, image: x}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: report-1, labels: {app: report}}, spec: {containers: [{name: a, image: x}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: report-2, labels: {app: report}, annotations: {tidewaiter.dev/inject: data/orders}}, spec: {containers: [{name: a, image: x}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: other}, spec: {containers: [{name: a, image: x}]}}
`, "-n", o.ns)
	code, out, errOut := o.run("status", "deployment/report")
	if code != 3 || errOut != "" || !strings.HasPrefix(out, "deployment/report   NOT protected: 2 of 2 pods\n") || strings.Contains(out, "other") {
		t.Errorf("exit code %d: %s%s", code, out, errOut)
	}
	for _, want := range []string{
		"pod " + o.ns + "/report-1   NOT protected: it asks for no data source, so it has no sidecar\n",
		"pod " + o.ns + "/report-2   NOT protected: it has no sidecar: namespace " + o.ns + " is not labeled tidewaiter.dev/injection=enabled\n  cure: kubectl label namespace " + o.ns,
	} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}
	for target, says := range map[string]string{
		"nope": "pod " + o.ns + "/nope is not there: check its name and -n", "service/x": "service/x: write POD, deployment/NAME", "deploy/x": "deploy " + o.ns + "/x is not there",
	} {
		if code, _, errOut := o.run("status", target); code != 1 || !strings.Contains(errOut, says) {
			t.Errorf("%s: exit code %d: %s", target, code, errOut)
		}
	}
	var reports []struct {
		Protected bool
		Verdict   string
	}
	if _, out, _ := o.run("status", "pod/report-1", "-o", "json"); json.Unmarshal([]byte(out), &reports) != nil || len(reports) != 1 || reports[0].Protected || reports[0].Verdict == "" {
		t.Errorf("json: %s", out)
	}
}
