package admission

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/injection"
	"github.com/tidewaiter/tidewaiter/webhook/inject"
)

// memory is a cluster of one namespace, shop, and one DataSource, data/orders.
type memory struct {
	notReady, broken error
	hidden           int // how often everything is not there yet
}

func (m *memory) Ready() error { return m.notReady }

func (m *memory) DataSource(_ context.Context, namespace, name string) (*v1alpha1.DataSource, error) {
	if m.broken != nil {
		return nil, m.broken
	}
	if m.hidden--; m.hidden >= 0 {
		return nil, nil
	}
	if namespace != "data" || name != "orders" {
		return nil, nil
	}
	return orders(), nil
}

func (m *memory) Namespace(_ context.Context, name string) (map[string]string, bool, error) {
	return map[string]string{injection.NamespaceLabel: injection.NamespaceEnabled}, name == "shop", nil
}

// orders is DataSource data/orders, for every namespace.
func orders() *v1alpha1.DataSource {
	return &v1alpha1.DataSource{
		ObjectMeta: metav1.ObjectMeta{Namespace: "data", Name: "orders"},
		Spec: v1alpha1.DataSourceSpec{
			Protocol: v1alpha1.ProtocolPostgres,
			Postgres: &v1alpha1.PostgresSource{
				Host: "orders-db.data.svc", Port: 5432, Database: "orders", TLS: v1alpha1.PostgresTLS{Mode: v1alpha1.TLSVerifyFull},
			},
			Credentials:       v1alpha1.Credentials{SecretRef: v1alpha1.SecretReference{Name: "orders-db"}},
			AllowedNamespaces: v1alpha1.AllowedNamespaces{Selector: &v1alpha1.LabelSelector{}},
			Listen:            v1alpha1.Listen{Port: 5432},
			Inject:            v1alpha1.Inject{Env: []v1alpha1.EnvVar{{Name: "DATABASE_URL", Value: "postgres://$(USER)@$(HOST):$(PORT)/$(DATABASE)"}}},
		},
	}
}

func testSettings() inject.Settings {
	return inject.Settings{
		Settings:       injection.Settings{Image: "registry.example/tidewaiter-proxy:v1", Operator: injection.OperatorAddress},
		NativeSidecars: true,
	}
}

func handler(t testing.TB, objects Objects) (*Pods, *prometheus.Registry) {
	t.Helper()
	registry := prometheus.NewRegistry()
	metrics, err := NewMetrics(registry)
	if err != nil {
		t.Fatal(err)
	}
	pods, err := NewPods(objects, testSettings(), metrics)
	if err != nil {
		t.Fatal(err)
	}
	return pods, registry
}

func request(annotation string) admission.Request {
	pod := `{"metadata":{"annotations":{"tidewaiter.dev/inject":"` + annotation + `"}},"spec":{"containers":[{"name":"web","image":"web:1","env":[{"name":"PGPASSWORD","value":"canary"}]}]}}`
	return admission.Request{AdmissionRequest: admissionv1.AdmissionRequest{
		UID: "1", Operation: admissionv1.Create, Namespace: "shop", Resource: metav1.GroupVersionResource{Version: "v1", Resource: "pods"},
		Object: runtime.RawExtension{Raw: []byte(pod)},
	}}
}

func TestAPodThatAsksIsAnsweredWithAPatchAndWarnings(t *testing.T) {
	pods, registry := handler(t, &memory{})
	got := pods.Handle(t.Context(), request("data/orders"))
	if !got.Allowed || *got.PatchType != admissionv1.PatchTypeJSONPatch || !bytes.Contains(got.Patch, []byte("tidewaiter-proxy")) {
		t.Errorf("%+v", got)
	}
	if len(got.Warnings) != 1 || !strings.Contains(got.Warnings[0], "PGPASSWORD") || strings.Contains(got.Warnings[0], "canary") {
		t.Errorf("warnings %q", got.Warnings)
	}
	count(t, registry, "injected")
}

func TestADataSourceThatIsAppliedWithThePodIsWaitedFor(t *testing.T) {
	pods, _ := handler(t, &memory{hidden: 2})
	if got := pods.Handle(t.Context(), request("data/orders")); !got.Allowed {
		t.Errorf("%+v", got.Result)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	begin := time.Now()
	if got := pods.Handle(ctx, request("data/ordesr")); got.Allowed || time.Since(begin) > lag {
		t.Errorf("after the API server has hung up: %+v", got)
	}
}

func TestADryRunIsAnsweredInTheSameWay(t *testing.T) {
	pods, _ := handler(t, &memory{})
	yes, asked := true, request("data/orders")
	want, _ := json.Marshal(pods.Handle(t.Context(), asked))
	asked.DryRun = &yes
	if got, _ := json.Marshal(pods.Handle(t.Context(), asked)); !bytes.Equal(got, want) {
		t.Errorf("%s\nwant %s", got, want)
	}
}

func TestWhateverGoesWrongThePodIsNotCreated(t *testing.T) {
	update, other, sub := request("data/orders"), request("data/orders"), request("data/orders")
	update.Operation = admissionv1.Update
	other.Resource.Resource = "deployments"
	sub.SubResource = "status"
	elsewhere, garbage := request("data/orders"), request("data/orders")
	elsewhere.Namespace = "new"
	garbage.Object.Raw = []byte(`{"spec":1}`)
	for name, tc := range map[string]struct {
		objects memory
		request admission.Request
		code    int32
		says    string
		metric  string
	}{
		"not ready":         {memory{notReady: errNotRead}, request("data/orders"), http.StatusServiceUnavailable, "has not read", "unavailable"},
		"unknown namespace": {memory{}, elsewhere, http.StatusServiceUnavailable, "pod of namespace new: its namespace is not known yet", "unavailable"},
		"a broken cache":    {memory{broken: errors.New("no informer")}, request("data/orders"), http.StatusInternalServerError, "no informer", "error"},
		"an update":         {memory{}, update, http.StatusInternalServerError, "takes the creation of pods", "error"},
		"another resource":  {memory{}, other, http.StatusInternalServerError, "takes the creation of pods", "error"},
		"a subresource":     {memory{}, sub, http.StatusInternalServerError, "takes the creation of pods", "error"},
		"garbage":           {memory{}, garbage, http.StatusForbidden, "cannot be read", "denied"},
		"no such source":    {memory{}, request("data/ordesr"), http.StatusForbidden, "there is no DataSource data/ordesr", "denied"},
	} {
		pods, registry := handler(t, &tc.objects)
		got := pods.Handle(t.Context(), tc.request)
		if got.Allowed || len(got.Patch) > 0 || got.Result.Code != tc.code || !strings.Contains(got.Result.Message, tc.says) {
			t.Errorf("%s: %+v %+v", name, got.Allowed, got.Result)
		}
		count(t, registry, tc.metric)
	}
}

// count wants exactly one request counted, with this outcome.
func count(t *testing.T, registry *prometheus.Registry, outcome string) {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			if family.GetName() == "tidewaiter_admission_pods_total" {
				got = append(got, fmt.Sprintf("%s %v", metric.GetLabel()[0].GetValue(), metric.GetCounter().GetValue()))
			}
		}
	}
	if want := outcome + " 1"; len(got) != 1 || got[0] != want {
		t.Errorf("counted %q, want %s", got, want)
	}
}

func TestWithoutAnImageThereIsNoHandler(t *testing.T) {
	if _, err := NewPods(&memory{}, inject.Settings{}, nil); err == nil {
		t.Error("a handler that injects nothing")
	}
}

// BenchmarkAnswer is one answer with its JSON, without network and API server.
func BenchmarkAnswer(b *testing.B) {
	pods, _ := handler(b, &memory{})
	asked := request("data/orders").AdmissionRequest
	body, err := json.Marshal(admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"}, Request: &asked,
	})
	if err != nil {
		b.Fatal(err)
	}
	hook := &admission.Webhook{Handler: pods}
	b.ReportAllocs()
	for b.Loop() {
		post := httptest.NewRequest(http.MethodPost, PodPath, bytes.NewReader(body))
		post.Header.Set("Content-Type", "application/json")
		answer := httptest.NewRecorder()
		hook.ServeHTTP(answer, post)
		if !bytes.Contains(answer.Body.Bytes(), []byte(`"allowed":true`)) {
			b.Fatal(answer.Body)
		}
	}
}
