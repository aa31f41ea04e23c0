package operator

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/webhook"

	"github.com/tidewaiter/tidewaiter/authority"
	"github.com/tidewaiter/tidewaiter/injection"
	"github.com/tidewaiter/tidewaiter/webhook/admission"
	"github.com/tidewaiter/tidewaiter/webhook/inject"
)

// newWebhookServer serves with the authority's leaf of the moment.
func newWebhookServer(o *Options, keeper *authority.Keeper) (webhook.Server, error) {
	host, port, err := split(o.Webhook)
	if err != nil {
		return nil, err
	}
	return webhook.NewServer(webhook.Options{
		Host: host, Port: port,
		TLSOpts: []func(*tls.Config){func(cfg *tls.Config) {
			ours := keeper.TLSConfig(webhookNames(o)...)
			cfg.MinVersion, cfg.GetCertificate = ours.MinVersion, ours.GetCertificate
		}},
	}), nil
}

func webhookNames(o *Options) []string {
	return append([]string{service(ServiceForWebhook, o.Namespace)}, o.Names...)
}

// addWebhook registers the handler, and what this replica must wait for before it is asked.
func addWebhook(ctx context.Context, mgr manager.Manager, o *Options, keeper *authority.Keeper, server kubernetes.Interface) error {
	objects, err := admission.NewCached(ctx, mgr.GetCache())
	if err != nil {
		return fmt.Errorf("the webhook's view of the cluster: %w", err)
	}
	counted, err := admission.NewMetrics(o.Registerer)
	if err != nil {
		return fmt.Errorf("the webhook's metrics: %w", err)
	}
	version, err := server.Discovery().ServerVersion()
	if err != nil {
		return fmt.Errorf("the API server's version: %w", err)
	}
	pods, err := admission.NewPods(objects, inject.Settings{
		Settings: settings(o), Strict: o.Strict,
		NativeSidecars: injection.ServesNativeSidecars(version.Major, version.Minor),
	}, counted)
	if err != nil {
		return err
	}
	hooks := mgr.GetWebhookServer()
	pods.Register(hooks)
	return errors.Join(
		addApprovals(ctx, mgr, server),
		mgr.AddReadyzCheck("admission", pods.Ready),
		mgr.AddReadyzCheck("webhook", hooks.StartedChecker()),
		mgr.AddReadyzCheck("webhook-configuration", verified{mgr.GetClient(), keeper, webhookNames(o)}.check),
	)
}

// addApprovals registers what stamps AccessRequests and AccessDecisions.
func addApprovals(ctx context.Context, mgr manager.Manager, server kubernetes.Interface) error {
	records, err := admission.NewRecords(ctx, mgr.GetCache(), mgr.GetAPIReader())
	if err != nil {
		return fmt.Errorf("the webhook's view of approvals: %w", err)
	}
	// Replicas share an account. Who it is, the API server knows, also where the operator runs outside of a cluster.
	self, err := server.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("the operator's own user name: %w", err)
	}
	requests, err := admission.NewRequests(records, self.Status.UserInfo.Username, time.Now)
	if err != nil {
		return err
	}
	hooks := mgr.GetWebhookServer()
	requests.Register(hooks)
	admission.NewDecisions(records, time.Now).Register(hooks)
	return mgr.AddReadyzCheck("approvals", func(*http.Request) error { return records.Ready() })
}

// settings are what webhook and distribution agree on about injected pods.
func settings(o *Options) injection.Settings {
	return injection.Settings{Image: o.ProxyImage, OlderImages: o.OlderProxyImages, Operator: o.OperatorAddress}
}

// verified checks that API servers will believe this replica. One that is asked before they do would fail the creation of
// every pod that it is asked about.
type verified struct {
	cached client.Reader
	keeper *authority.Keeper
	names  []string
}

func (v verified) check(request *http.Request) error {
	leaf, err := v.keeper.Serving(v.names...)
	if err != nil {
		return err
	}
	var live admissionregistrationv1.MutatingWebhookConfiguration
	if err := v.cached.Get(request.Context(), client.ObjectKey{Name: WebhookConfiguration}, &live); err != nil {
		return fmt.Errorf("read MutatingWebhookConfiguration %s: %w", WebhookConfiguration, err)
	}
	certificate, err := x509.ParseCertificate(leaf.TLS().Certificate[0])
	if err != nil {
		return fmt.Errorf("the replica's own certificate: %w", err)
	}
	for i := range live.Webhooks {
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(live.Webhooks[i].ClientConfig.CABundle)
		if _, err := certificate.Verify(x509.VerifyOptions{Roots: roots, DNSName: v.names[0], CurrentTime: time.Now()}); err != nil {
			return fmt.Errorf("MutatingWebhookConfiguration %s: the caBundle of webhook %s does not verify this replica yet: %w",
				WebhookConfiguration, live.Webhooks[i].Name, err)
		}
	}
	return nil
}
