package operator

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	sidecarv1alpha1 "github.com/tidewaiter/tidewaiter/api/sidecar/v1alpha1"
	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/injection"
	"github.com/tidewaiter/tidewaiter/test/kubetest"
	"github.com/tidewaiter/tidewaiter/test/postgrestest"
)

const annotatedPod = `
apiVersion: v1
kind: Pod
metadata: {name: report, namespace: shop, labels: {app: report}, annotations: {tidewaiter.dev/inject: data/orders}}
spec: {serviceAccountName: default, containers: [{name: agent, image: agent}]}
`

// The sidecar here is a script that says what a sidecar says; package proxy's own tests have a real one.
func TestAnAnnotatedPodIsInjectedAndItsSidecarIsServedByAnyReplica(t *testing.T) {
	server, pg := installed(t), postgrestest.Shared(t)
	c := admin(t, server)
	first := run(t, asOperator(t, server), "op-0")
	eventually(t, "op-0 is ready", func(context.Context) error { return first.ready() })
	// The other replica is of the next version: pods keep the proxy that they were injected with.
	second := run(t, asOperator(t, server), "op-1", func(o *Options) {
		o.ProxyImage, o.OlderProxyImages = "proxy.test/tidewaiter-proxy:v2", []string{o.ProxyImage}
	})
	eventually(t, "op-1 is ready", func(context.Context) error { return second.ready() })
	prepare(t, server, pg)

	pod := injected(t, server, c, first.webhook)
	s := connect(t, server, c, pod, second.sidecars)
	snapshot := s.snapshot()
	if got := snapshot.GetDataSources()[0].GetCredential().GetPassword(); got != pg.Password {
		t.Errorf("the sidecar is given a password of %d bytes", len(got))
	}
	policy := &v1alpha1.AccessPolicy{}
	s.ack(snapshot)
	condition(t, c, policy, "reporting", v1alpha1.ConditionEnforced, metav1.ConditionTrue, v1alpha1.ReasonEnforced, "1/1 sidecars at revision 1")

	// A change reaches the sidecar, which refuses it, and then takes the next one.
	begin := time.Now()
	server.Kubectl(t, "-n", "data", "patch", "accesspolicy", "reporting", "--type=merge", "-p", `{"spec":{"predicates":"Deny"}}`)
	changed := s.snapshot()
	t.Logf("a policy change, kubectl included, is at the sidecar after %s", time.Since(begin).Round(time.Millisecond))
	s.send(&sidecarv1alpha1.ConnectRequest{Message: &sidecarv1alpha1.ConnectRequest_Nack{Nack: &sidecarv1alpha1.Nack{
		Revision: changed.GetRevision(), DataSource: "data/orders", Reason: "BundleAltered", Message: "a digest does not match",
	}}})
	condition(t, c, policy, "reporting", v1alpha1.ConditionEnforced, metav1.ConditionFalse, v1alpha1.ReasonRejectedBySidecar, "shop/report refused it (BundleAltered: a digest does not match)")
	condition(t, c, policy, "reporting", v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonNotReady, "Enforced is False")
	server.Kubectl(t, "-n", "data", "patch", "accesspolicy", "reporting", "--type=merge", "-p", `{"spec":{"predicates":"Flag"}}`)
	s.ack(s.snapshot())
	condition(t, c, policy, "reporting", v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady, "")

	// The leader goes; the other replica writes status from then on, and the sidecar at it has not noticed.
	must(t, first.stop())
	server.Kubectl(t, "-n", "data", "patch", "accesspolicy", "reporting", "--type=merge", "-p", `{"spec":{"predicates":"Deny"}}`)
	s.ack(s.snapshot())
	condition(t, c, policy, "reporting", v1alpha1.ConditionEnforced, metav1.ConditionTrue, v1alpha1.ReasonEnforced, "1/1 sidecars at revision 4")
	nothingIsTold(t, c, first, pg.Password)
	nothingIsTold(t, c, second, pg.Password)
	must(t, second.stop())
	if err := s.end(); err == nil {
		t.Error("the stream goes on without an operator")
	}
}

// prepare makes the namespaces, with what a controller manager would put into them, and the data's owner's objects.
func prepare(t *testing.T, server *kubetest.Server, pg *postgrestest.Server) {
	t.Helper()
	must(t, server.CreateNamespace(t.Context(), "data", nil))
	must(t, server.CreateNamespace(t.Context(), "shop", map[string]string{"team": "shop", "tidewaiter.dev/injection": "enabled"}))
	ca, err := pg.CA()
	must(t, err)
	_, objects, _ := strings.Cut(dataManifest(pg, "postgres", pg.Password, ca), "kind: Secret")
	server.Apply(t, "apiVersion: v1\nkind: Secret"+objects)
	server.Apply(t, policyManifest)
	server.Kubectl(t, "apply", "-f", "../config/samples/access/secrets.yaml")
}

// injected creates a pod that asks for injection. The API server runs outside of the cluster's network, so it is told where
// the webhook is by address instead of by Service.
func injected(t *testing.T, server *kubetest.Server, c client.Client, webhook string) *corev1.Pod {
	t.Helper()
	ca := server.Kubectl(t, "get", "mutatingwebhookconfiguration", WebhookConfiguration, "-o", "jsonpath={.webhooks[0].clientConfig.caBundle}")
	server.Kubectl(t, "patch", "mutatingwebhookconfiguration", WebhookConfiguration, "--type=json", "-p", fmt.Sprintf(
		`[{"op":"replace","path":"/webhooks/0/clientConfig","value":{"url":"https://%s/inject/pods","caBundle":%q}}]`, webhook, ca))
	pod := &corev1.Pod{}
	eventually(t, "an annotated pod", func(ctx context.Context) error {
		cmd := server.Command(ctx, "create", "-f", "-")
		cmd.Stdin = strings.NewReader(annotatedPod)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return c.Get(ctx, client.ObjectKey{Namespace: "shop", Name: "report"}, pod)
	})
	if pod.Labels[injection.InjectedLabel] != injection.Injected || pod.Spec.InitContainers[0].Name != injection.ContainerName {
		t.Fatalf("the pod is not injected: %+v", pod)
	}
	return pod
}

// scripted is the far end of a stream.
type scripted struct {
	t      *testing.T
	stream grpc.BidiStreamingClient[sidecarv1alpha1.ConnectRequest, sidecarv1alpha1.ConnectResponse]
	from   chan *sidecarv1alpha1.ConnectResponse
	ended  chan error
}

// connect opens the stream of a pod with what the pod is given: a token that is bound to it, and the ConfigMap.
func connect(t *testing.T, server *kubetest.Server, c client.Client, pod *corev1.Pod, address string) *scripted {
	t.Helper()
	token, err := server.PodToken(t.Context(), pod, injection.Audience)
	must(t, err)
	var ca corev1.ConfigMap
	must(t, c.Get(t.Context(), client.ObjectKey{Namespace: "shop", Name: injection.CAConfigMap}, &ca))
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(ca.Data[injection.CAFile]))
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{
		RootCAs: roots, ServerName: service(ServiceForSidecars, Namespace), MinVersion: tls.VersionTLS13,
	})))
	must(t, err)
	t.Cleanup(func() { conn.Close() })
	s := &scripted{t: t, from: make(chan *sidecarv1alpha1.ConnectResponse, 64), ended: make(chan error, 1)}
	hello := &sidecarv1alpha1.ConnectRequest{Message: &sidecarv1alpha1.ConnectRequest_Hello{Hello: &sidecarv1alpha1.Hello{
		Version: "v0", DataSources: []string{"data/orders"}, Instance: "scripted",
	}}}
	// The operator may not have seen the pod yet, and says that it is to be tried again.
	eventually(t, "a stream", func(context.Context) error {
		ctx := metadata.AppendToOutgoingContext(context.WithoutCancel(t.Context()), "authorization", "Bearer "+token)
		if s.stream, err = sidecarv1alpha1.NewSidecarServiceClient(conn).Connect(ctx); err != nil {
			return err
		}
		if err := s.stream.Send(hello); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		answer, err := s.stream.Recv()
		if err == nil {
			s.from <- answer
		}
		return err
	})
	go func() {
		for {
			answer, err := s.stream.Recv()
			if err != nil {
				s.ended <- err
				return
			}
			s.from <- answer
		}
	}()
	return s
}

func (s *scripted) send(m *sidecarv1alpha1.ConnectRequest) {
	s.t.Helper()
	must(s.t, s.stream.Send(m))
}

// snapshot waits for the next snapshot that has a data source in it: until the Secret has been read there is none.
func (s *scripted) snapshot() *sidecarv1alpha1.Snapshot {
	s.t.Helper()
	for {
		select {
		case m := <-s.from:
			if got := m.GetSnapshot(); len(got.GetDataSources()) > 0 {
				return got
			}
		case err := <-s.ended:
			s.t.Fatalf("the stream ended: %v", err)
		case <-time.After(patience):
			s.t.Fatal("no snapshot")
		}
	}
}

func (s *scripted) ack(snapshot *sidecarv1alpha1.Snapshot) {
	s.t.Helper()
	s.send(&sidecarv1alpha1.ConnectRequest{Message: &sidecarv1alpha1.ConnectRequest_Ack{Ack: &sidecarv1alpha1.Ack{Revision: snapshot.GetRevision()}}})
}

// end waits for the end of the stream.
func (s *scripted) end() error {
	select {
	case err := <-s.ended:
		return err
	case <-time.After(patience):
		return nil
	}
}

// Each replica is ready only if the one caBundle of the cluster verifies its own certificate.
func TestReplicasThatStartTogetherOnAnEmptyClusterMakeOneAuthority(t *testing.T) {
	server := installed(t)
	config := asOperator(t, server)
	var replicas []*replica
	for i := range 3 {
		replicas = append(replicas, run(t, config, fmt.Sprintf("op-%d", i)))
	}
	for _, r := range replicas {
		eventually(t, "every replica is ready", func(context.Context) error { return r.ready() })
	}
	if bundle := server.Kubectl(t, "get", "mutatingwebhookconfiguration", WebhookConfiguration, "-o", "jsonpath={.webhooks[0].clientConfig.caBundle}"); bundle == "" {
		t.Error("there is no caBundle")
	}
	// All of them stop at once, and in order.
	for _, r := range replicas {
		must(t, r.stop())
	}
}
