package operator

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/zapr"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/test/kubetest"
	"github.com/tidewaiter/tidewaiter/test/postgrestest"
)

// patience bounds every wait of these tests, on a machine that is busy compiling.
const patience = time.Minute

// installed is an API server with all of config/default.
func installed(t *testing.T) *kubetest.Server {
	t.Helper()
	server, err := kubetest.Start(kubetest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	server.Kubectl(t, "apply", "--server-side", "-k", "../config/default")
	return server
}

// asOperator is how the operator's own service account sees the API server: what config/rbac does not grant is refused.
func asOperator(t *testing.T, server *kubetest.Server) *rest.Config {
	t.Helper()
	config := server.User(t, "system:serviceaccount:"+Namespace+":tidewaiter-operator",
		"system:serviceaccounts", "system:serviceaccounts:"+Namespace, "system:authenticated")
	config.QPS, config.Burst = 100, 200
	return config
}

// replica is a running operator.
type replica struct {
	health, sidecars, webhook string

	log  *output
	stop func() error
}

func run(t *testing.T, config *rest.Config, name string, changes ...func(*Options)) *replica {
	t.Helper()
	r := &replica{health: free(t), sidecars: free(t), webhook: free(t), log: &output{}}
	core := zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(r.log), zapcore.DebugLevel)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	o := Options{
		Config: config, ProxyImage: "proxy.test/tidewaiter-proxy:v1", Replica: name, Sidecars: r.sidecars, Webhook: r.webhook, Auditors: free(t),
		Health: r.health, Metrics: "0", Names: []string{"127.0.0.1"}, Registerer: prometheus.NewRegistry(),
		LeaseDuration: 3 * time.Second, Log: zapr.NewLogger(zap.New(core)),
	}
	for _, change := range changes {
		change(&o)
	}
	go func() { done <- Run(ctx, o) }()
	r.stop = sync.OnceValue(func() error {
		cancel()
		select {
		case err := <-done:
			return err
		case <-time.After(patience):
			return errors.New("the operator does not stop")
		}
	})
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Errorf("the operator: %v", err)
		}
		if t.Failed() {
			t.Logf("log of %s:\n%s", name, r.log)
		}
	})
	return r
}

// ready is nil when /readyz says so.
func (r *replica) ready() error {
	response, err := http.Get("http://" + r.health + "/readyz")
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", response.Status, body)
	}
	return nil
}

func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// output is a log that is written and read at the same time.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// eventually waits until check is content.
func eventually(t *testing.T, what string, check func(context.Context) error) {
	t.Helper()
	var last error
	err := wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, patience, true, func(context.Context) (bool, error) {
		ctx, cancel := context.WithTimeout(t.Context(), patience) // not that of polling: that this one is over soon is no answer
		defer cancel()
		last = check(ctx)
		return last == nil, nil
	})
	if err != nil {
		t.Fatalf("%s: %v", what, last)
	}
}

func admin(t *testing.T, server *kubetest.Server) client.Client {
	t.Helper()
	scheme, err := newScheme()
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.New(server.Config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// condition waits for a condition of data/<name>; message is part of what it says.
func condition(t *testing.T, c client.Client, obj client.Object, name, kind string, status metav1.ConditionStatus, reason, message string) {
	t.Helper()
	eventually(t, fmt.Sprintf("%T data/%s: %s=%s %s %q", obj, name, kind, status, reason, message), func(ctx context.Context) error {
		if err := c.Get(ctx, client.ObjectKey{Namespace: "data", Name: name}, obj); err != nil {
			return err
		}
		conditions := map[bool]func() []metav1.Condition{
			true:  func() []metav1.Condition { return obj.(*v1alpha1.DataSource).Status.Conditions },
			false: func() []metav1.Condition { return obj.(*v1alpha1.AccessPolicy).Status.Conditions },
		}
		_, isSource := obj.(*v1alpha1.DataSource)
		got := meta.FindStatusCondition(conditions[isSource](), kind)
		if got == nil || got.Status != status || got.Reason != reason || !strings.Contains(got.Message, message) || got.ObservedGeneration != obj.GetGeneration() {
			return fmt.Errorf("it is %+v", got)
		}
		return nil
	})
}

const (
	policyManifest = `
apiVersion: tidewaiter.dev/v1alpha1
kind: AccessPolicy
metadata: {name: reporting, namespace: data}
spec:
  dataSources: [{name: orders}]
  subjects: [{namespaceSelector: {matchLabels: {team: shop}}, podSelector: {matchLabels: {app: report}}}]
  rules: [{name: read, action: Allow, statements: [Select], tables: ["public.*"]}]
`
	regoMistake = policyManifest + `  rego: |
    package tidewaiter.custom

    import data.tidewaiter.bundle
`
)

func dataManifest(server *postgrestest.Server, database, password string, ca []byte) string {
	return fmt.Sprintf(`
apiVersion: v1
kind: Namespace
metadata: {name: data}
---
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {team: shop, tidewaiter.dev/injection: enabled}}
---
apiVersion: v1
kind: Secret
metadata: {name: orders-db, namespace: data}
stringData: {username: %q, password: %q}
---
apiVersion: v1
kind: Secret
metadata: {name: orders-ca, namespace: data}
data: {ca.crt: %s}
---
apiVersion: tidewaiter.dev/v1alpha1
kind: DataSource
metadata: {name: orders, namespace: data}
spec:
  protocol: postgres
  postgres: {host: localhost, port: %d, database: %s, tls: {mode: verify-full, caSecretRef: {name: orders-ca}}}
  credentials: {secretRef: {name: orders-db}}
  allowedNamespaces: {selector: {matchLabels: {team: shop}}}
  listen: {port: 5432}
  classifications: [{columns: ["public.customers.ssn", "*.*.email"], tags: [pii/x]}]
`, server.Superuser, password, base64Of(ca), server.Port, database)
}

func TestTheOperatorSaysWhatIsInForceWithNoMoreRightsThanItsOwn(t *testing.T) {
	server, pg := installed(t), postgrestest.Shared(t)
	database := pg.NewDatabase(t, "CREATE TABLE customers (id int, email text, ssn text)")
	ca, err := pg.CA()
	if err != nil {
		t.Fatal(err)
	}
	c := admin(t, server)
	server.Apply(t, dataManifest(pg, database, pg.Password, ca))
	server.Apply(t, regoMistake)
	r := run(t, asOperator(t, server), "op-0")

	// The data's owner has not let it read the Secrets yet. Nobody has to tell it when that changes.
	ds, policy := &v1alpha1.DataSource{}, &v1alpha1.AccessPolicy{}
	condition(t, c, ds, "orders", v1alpha1.ConditionResolvedRefs, metav1.ConditionFalse, v1alpha1.ReasonSecretForbidden, "Role")
	condition(t, c, ds, "orders", v1alpha1.ConditionReachable, metav1.ConditionUnknown, v1alpha1.ReasonPending, "waits for ResolvedRefs")
	server.Kubectl(t, "apply", "-f", "../config/samples/access/secrets.yaml")
	condition(t, c, ds, "orders", v1alpha1.ConditionReachable, metav1.ConditionTrue, v1alpha1.ReasonReachable, "answers to the credential")
	if ds.Status.Classified == nil || ds.Status.Classified.Columns != 2 {
		t.Errorf("classified %+v", ds.Status.Classified)
	}
	condition(t, c, ds, "orders", v1alpha1.ConditionProgrammed, metav1.ConditionFalse, v1alpha1.ReasonInvalid, "AccessPolicy data/reporting does not compile")

	// A mistake in Rego has its place; corrected, it is in force for the sidecars that there are: none.
	condition(t, c, policy, "reporting", v1alpha1.ConditionAccepted, metav1.ConditionFalse, v1alpha1.ReasonInvalidRego, "spec.rego:3:1: import data.tidewaiter.bundle")
	server.Apply(t, policyManifest)
	condition(t, c, policy, "reporting", v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady, "")
	condition(t, c, ds, "orders", v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady, "")

	sidecarsAndTheirAnswers(t, c, policy)

	// A changed password reaches the condition by itself.
	server.Kubectl(t, "-n", "data", "patch", "secret", "orders-db", "-p", `{"stringData":{"password":"canary-of-a-wrong-password"}}`)
	condition(t, c, ds, "orders", v1alpha1.ConditionReachable, metav1.ConditionFalse, v1alpha1.ReasonAuthenticationFailed, "Secret data/orders-db")

	certificatesReachWhoeverVerifiesByThem(t, c)
	eventually(t, "the replica is ready", func(context.Context) error { return r.ready() })
	nothingIsTold(t, c, r, pg.Password, "canary-of-a-wrong-password")
}

// sidecarsAndTheirAnswers writes Sessions as the replicas that hold streams do.
func sidecarsAndTheirAnswers(t *testing.T, c client.Client, policy *v1alpha1.AccessPolicy) {
	t.Helper()
	var sessions []*v1alpha1.Session
	for _, name := range []string{"report-a", "report-b"} {
		pod := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, Labels: map[string]string{"app": "report"}},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "agent", Image: "agent"}}},
		}
		must(t, c.Create(t.Context(), pod))
		s := &v1alpha1.Session{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name + "-orders"},
			Spec: v1alpha1.SessionSpec{
				Pod: v1alpha1.PodReference{Name: v1alpha1.ObjectName(name), UID: string(pod.UID)}, ServiceAccount: "default",
				DataSource: v1alpha1.NamespacedReference{Namespace: "data", Name: "orders"},
			},
		}
		must(t, c.Create(t.Context(), s))
		s.Status = v1alpha1.SessionStatus{State: v1alpha1.SessionActive, Revision: 100, DataSourceGeneration: 1}
		must(t, c.Status().Update(t.Context(), s))
		sessions = append(sessions, s)
	}
	condition(t, c, policy, "reporting", v1alpha1.ConditionEnforced, metav1.ConditionFalse, v1alpha1.ReasonWaitingForSidecars, "0/2 sidecars at revision 2; waiting for shop/report-a, shop/report-b")

	acknowledge := func(s *v1alpha1.Session, rejection *v1alpha1.SessionRejection, generation int64) {
		t.Helper()
		s.Status.Rejection, s.Status.Policies = rejection, []v1alpha1.SessionPolicy{{Name: "reporting", Generation: generation}}
		must(t, c.Status().Update(t.Context(), s))
	}
	acknowledge(sessions[0], nil, 2)
	condition(t, c, policy, "reporting", v1alpha1.ConditionEnforced, metav1.ConditionFalse, v1alpha1.ReasonWaitingForSidecars, "1/2 sidecars at revision 2; waiting for shop/report-b")
	if policy.Status.Enforcement.Summary != "1/2" {
		t.Errorf("summary %s", policy.Status.Enforcement.Summary)
	}
	acknowledge(sessions[1], &v1alpha1.SessionRejection{Revision: 101, Reason: "BundleAltered", Message: "a digest does not match"}, 1)
	condition(t, c, policy, "reporting", v1alpha1.ConditionEnforced, metav1.ConditionFalse, v1alpha1.ReasonRejectedBySidecar, "shop/report-b refused it (BundleAltered: a digest does not match)")
	acknowledge(sessions[1], nil, 2)
	condition(t, c, policy, "reporting", v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady, "")
	condition(t, c, policy, "reporting", v1alpha1.ConditionEnforced, metav1.ConditionTrue, v1alpha1.ReasonEnforced, "2/2 sidecars at revision 2")
}

// certificatesReachWhoeverVerifiesByThem looks at the ConfigMap for sidecars and at the caBundle for API servers.
func certificatesReachWhoeverVerifiesByThem(t *testing.T, c client.Client) {
	t.Helper()
	var copied corev1.ConfigMap
	eventually(t, "the ConfigMap of an opted-in namespace", func(ctx context.Context) error {
		return c.Get(ctx, types.NamespacedName{Namespace: "shop", Name: "tidewaiter-ca"}, &copied)
	})
	if !strings.HasPrefix(copied.Data["ca.crt"], "-----BEGIN CERTIFICATE-----") || strings.Contains(copied.Data["ca.crt"], "PRIVATE") {
		t.Errorf("the ConfigMap holds %q", copied.Data)
	}
	eventually(t, "the webhook's caBundle", func(ctx context.Context) error {
		var hooks admissionregistrationv1.MutatingWebhookConfiguration
		if err := c.Get(ctx, types.NamespacedName{Name: WebhookConfiguration}, &hooks); err != nil {
			return err
		}
		if got := string(hooks.Webhooks[0].ClientConfig.CABundle); got != copied.Data["ca.crt"] {
			return fmt.Errorf("it is %q", got)
		}
		return nil
	})
	if err := c.Get(t.Context(), types.NamespacedName{Namespace: "data", Name: "tidewaiter-ca"}, &corev1.ConfigMap{}); client.IgnoreNotFound(err) != nil || err == nil {
		t.Errorf("a namespace that did not opt in has the ConfigMap, or: %v", err)
	}

	// Whoever changes or removes a copy gets it back.
	copied.Data["ca.crt"] = "something else"
	must(t, c.Update(t.Context(), &copied))
	eventually(t, "the ConfigMap is as it was", func(ctx context.Context) error {
		err := c.Get(ctx, types.NamespacedName{Namespace: "shop", Name: "tidewaiter-ca"}, &copied)
		if err == nil && copied.Data["ca.crt"] == "something else" {
			err = errors.New("it is not")
		}
		return err
	})
}

// nothingIsTold searches status, events and the log at its highest level for secrets, and the log for refusals.
func nothingIsTold(t *testing.T, c client.Client, r *replica, secrets ...string) {
	t.Helper()
	var sources v1alpha1.DataSourceList
	var policies v1alpha1.AccessPolicyList
	var events eventsv1.EventList
	for _, list := range []client.ObjectList{&sources, &policies, &events} {
		must(t, c.List(t.Context(), list))
	}
	if len(events.Items) == 0 {
		t.Error("there are no events")
	}
	all := fmt.Sprintf("%+v %+v %+v %s", sources, policies, events, r.log)
	for _, secret := range secrets {
		if strings.Contains(all, secret) {
			t.Error("a secret is told")
		}
	}
	for line := range strings.Lines(r.log.String()) {
		if strings.Contains(line, "forbidden") && !strings.Contains(line, "secrets") {
			t.Errorf("the operator lacks a right: %s", line)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func base64Of(p []byte) string { return base64.StdEncoding.EncodeToString(p) }
