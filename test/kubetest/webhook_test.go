package kubetest

import (
	"encoding/json"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

func TestAWebhookOnThisMachineIsAsked(t *testing.T) {
	none, path := admissionregistrationv1.SideEffectClassNone, "/judge"
	fail := admissionregistrationv1.Fail
	server := startOwn(t, Options{Webhooks: envtest.WebhookInstallOptions{
		ValidatingWebhooks: []*admissionregistrationv1.ValidatingWebhookConfiguration{{
			ObjectMeta: metav1.ObjectMeta{Name: "judge"},
			Webhooks: []admissionregistrationv1.ValidatingWebhook{{
				Name: "judge.tidewaiter.dev", SideEffects: &none, FailurePolicy: &fail, AdmissionReviewVersions: []string{"v1"},
				ClientConfig: admissionregistrationv1.WebhookClientConfig{
					Service: &admissionregistrationv1.ServiceReference{Namespace: "somewhere", Name: "judge", Path: &path},
				},
				Rules: []admissionregistrationv1.RuleWithOperations{{
					Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
					Rule: admissionregistrationv1.Rule{
						APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"},
					},
				}},
			}},
		}},
	}})
	judge := serve(t, server, path)
	defer judge.Close()
	namespace := server.NewNamespace(t, nil)
	_, err := clientFor(t, server.Config).CoreV1().Pods(namespace).Create(t.Context(), plainPod("one"), metav1.CreateOptions{})
	if err == nil || !strings.Contains(err.Error(), "not on this ship") {
		t.Errorf("the Pod was created: %v", err)
	}
}

// serve answers admission reviews with a refusal, with the certificate that the server trusts.
func serve(t *testing.T, server *Server, path string) *http.Server {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
		review := &admissionv1.AdmissionReview{}
		if err := json.NewDecoder(r.Body).Decode(review); err != nil {
			t.Error(err)
			return
		}
		review.Response = &admissionv1.AdmissionResponse{UID: review.Request.UID, Result: &metav1.Status{Message: "not on this ship"}}
		review.Request = nil
		if err := json.NewEncoder(w).Encode(review); err != nil {
			t.Error(err)
		}
	})
	at := server.Webhooks
	listener, err := net.Listen("tcp", net.JoinHostPort(at.LocalServingHost, strconv.Itoa(at.LocalServingPort)))
	if err != nil {
		t.Fatal(err)
	}
	judge := &http.Server{Handler: mux}
	go judge.ServeTLS(listener, filepath.Join(at.LocalServingCertDir, "tls.crt"), filepath.Join(at.LocalServingCertDir, "tls.key"))
	return judge
}
