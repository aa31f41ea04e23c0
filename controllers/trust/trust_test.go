package trust

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/tidewaiter/tidewaiter/authority"
	"github.com/tidewaiter/tidewaiter/test/kubetest"
)

func TestMain(m *testing.M) { kubetest.Main(m) }

const patience = time.Minute

// own is the operator's namespace.
const own = "operator-of-trust"

// bench runs the reconciler on a real API server, with an authority that the test rotates.
type bench struct {
	t       *testing.T
	server  *kubetest.Server
	client  client.Client
	current atomic.Pointer[authority.Authority]
	rotated chan event.GenericEvent
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, server: kubetest.Shared(t), rotated: make(chan event.GenericEvent, 1)}
	first, err := authority.New(time.Now())
	must(t, err)
	b.current.Store(first)
	b.client, err = client.New(b.server.Config, client.Options{})
	must(t, err)
	b.server.Kubectl(t, "apply", "--server-side", "-f", "../../config/webhook/injector.yaml")
	several := true // controllers in one process
	mgr, err := manager.New(b.server.Config, manager.Options{
		Metrics: metricsserver.Options{BindAddress: "0"}, Controller: config.Controller{SkipNameValidation: &several},
	})
	must(t, err)
	must(t, SetUp(mgr, own, func() ([]byte, error) { return b.current.Load().TrustBundle(), nil }, b.rotated))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return b
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (b *bench) eventually(what string, check func(context.Context) error) {
	b.t.Helper()
	var last error
	if err := wait.PollUntilContextTimeout(b.t.Context(), 20*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
		last = check(ctx)
		return last == nil, nil
	}); err != nil {
		b.t.Fatalf("%s: %v", what, last)
	}
}

// everywhere waits until the ConfigMaps and the webhook hold the bundle of the moment.
func (b *bench) everywhere(namespaces ...string) {
	b.t.Helper()
	want := string(b.current.Load().TrustBundle())
	b.eventually("the bundle is everywhere", func(ctx context.Context) error {
		for _, ns := range namespaces {
			var m corev1.ConfigMap
			if err := b.client.Get(ctx, client.ObjectKey{Namespace: ns, Name: ConfigMapName}, &m); err != nil {
				return err
			}
			if m.Data[ConfigMapKey] != want {
				return fmt.Errorf("the ConfigMap of %s holds something else", ns)
			}
		}
		hooks := b.webhook(ctx)
		if string(hooks.Webhooks[0].ClientConfig.CABundle) != want {
			return errors.New("the webhook has another caBundle")
		}
		return nil
	})
}

func (b *bench) webhook(ctx context.Context) *admissionregistrationv1.MutatingWebhookConfiguration {
	b.t.Helper()
	var hooks admissionregistrationv1.MutatingWebhookConfiguration
	must(b.t, b.client.Get(ctx, client.ObjectKey{Name: WebhookName}, &hooks))
	return &hooks
}

func TestCertificatesFollowTheAuthorityAndTheNamespaces(t *testing.T) {
	b := newBench(t)
	opted := map[string]string{InjectionLabel: InjectionEnabled}
	first, later := b.server.NewNamespace(t, opted), b.server.NewNamespace(t, nil)
	b.everywhere(first)

	// The operator's own has one without opting in, by which auditors verify the operator.
	b.server.Apply(t, "{apiVersion: v1, kind: Namespace, metadata: {name: "+own+"}}")
	b.everywhere(own)

	// A namespace that opts in gets its copy; until then it has none.
	err := b.client.Get(t.Context(), client.ObjectKey{Namespace: later, Name: ConfigMapName}, &corev1.ConfigMap{})
	if client.IgnoreNotFound(err) != nil || err == nil {
		t.Errorf("before it opted in: %v", err)
	}
	b.server.Kubectl(t, "label", "namespace", later, InjectionLabel+"="+InjectionEnabled)
	b.everywhere(first, later)

	// A rotation brings the new root beside the old one.
	next, changed := b.current.Load(), false
	err = nil
	for days := 1; err == nil && !changed && days < 4000; days++ {
		next, changed, err = b.current.Load().Next(time.Now().AddDate(0, 0, days))
	}
	must(t, err)
	if !changed {
		t.Fatal("the authority is never rotated")
	}
	b.current.Store(next)
	b.rotated <- event.GenericEvent{Object: &corev1.ConfigMap{}}
	b.everywhere(own, first, later)

	// Whoever installs again by the manifests, which have no caBundle, takes nothing away.
	b.server.Kubectl(t, "apply", "--server-side", "-f", "../../config/webhook/injector.yaml")
	b.everywhere(first, later)
	if hooks := b.webhook(t.Context()); hooks.Webhooks[0].ClientConfig.Service == nil || *hooks.Webhooks[0].FailurePolicy != admissionregistrationv1.Fail {
		t.Errorf("more than the caBundle was written: %+v", hooks.Webhooks[0])
	}

	// Copies that are changed or removed come back; the webhook configuration, once removed, stays removed.
	must(t, b.client.Delete(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: first, Name: ConfigMapName}}))
	b.everywhere(first, later)
	b.server.Kubectl(t, "delete", "mutatingwebhookconfiguration", WebhookName)
	must(t, b.client.Delete(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: first, Name: ConfigMapName}}))
	b.eventually("the ConfigMap is back", func(ctx context.Context) error {
		return b.client.Get(ctx, client.ObjectKey{Namespace: first, Name: ConfigMapName}, &corev1.ConfigMap{})
	})
	err = b.client.Get(t.Context(), client.ObjectKey{Name: WebhookName}, &admissionregistrationv1.MutatingWebhookConfiguration{})
	if client.IgnoreNotFound(err) != nil || err == nil {
		t.Errorf("the webhook configuration after its removal: %v", err)
	}
}

// Sidecars believe whom the ConfigMap certifies, and somebody may have made one before there was an operator.
func TestAConfigMapThatCannotBePutRightIsReplaced(t *testing.T) {
	b := newBench(t)
	immutable := true
	for name, planted := range map[string]*corev1.ConfigMap{
		"immutable": {Immutable: &immutable, Data: map[string]string{ConfigMapKey: "mine"}},
		"binary":    {BinaryData: map[string][]byte{ConfigMapKey: []byte("mine")}},
	} {
		ns := b.server.NewNamespace(t, nil)
		planted.Namespace, planted.Name = ns, ConfigMapName
		must(t, b.client.Create(t.Context(), planted))
		t.Log(name, "in", ns)
		b.server.Kubectl(t, "label", "namespace", ns, InjectionLabel+"="+InjectionEnabled)
		b.everywhere(ns)
	}
}
