package operator

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/tidewaiter/tidewaiter/authority"
	"github.com/tidewaiter/tidewaiter/controllers/accesspolicy"
	"github.com/tidewaiter/tidewaiter/controllers/accessrequest"
	"github.com/tidewaiter/tidewaiter/controllers/census"
	"github.com/tidewaiter/tidewaiter/controllers/credential"
	"github.com/tidewaiter/tidewaiter/controllers/datasource"
	"github.com/tidewaiter/tidewaiter/controllers/notify"
	"github.com/tidewaiter/tidewaiter/controllers/phase"
	"github.com/tidewaiter/tidewaiter/controllers/trust"
)

// Run runs an operator until ctx ends, and returns when all of it has stopped. An error means that the process has to end:
// whoever was leader and is no longer must not go on.
func Run(ctx context.Context, o Options) error {
	if err := o.defaults(); err != nil {
		return err
	}
	log.SetLogger(o.Log)
	keeper, err := loadAuthority(ctx, &o)
	if err != nil {
		return err
	}
	hooks, err := newWebhookServer(&o, keeper)
	if err != nil {
		return err
	}
	mgr, err := newManager(&o, hooks)
	if err != nil {
		return err
	}
	clientset, err := kubernetes.NewForConfig(o.Config)
	if err != nil {
		return fmt.Errorf("client: %w", err)
	}
	secrets := credential.NewStore(credential.Cluster{Client: clientset}, 0)
	err = errors.Join(
		mgr.AddHealthzCheck("ping", healthz.Ping),
		mgr.Add(keeper), mgr.Add(secrets),
		addControllers(ctx, mgr, &o, keeper, secrets),
		addWebhook(ctx, mgr, &o, keeper, clientset),
		addDistribution(ctx, mgr, &o, keeper, secrets, clientset),
	)
	if err != nil {
		return err
	}
	return mgr.Start(ctx)
}

// loadAuthority reads or makes the authority before anything is served in its name.
func loadAuthority(ctx context.Context, o *Options) (*authority.Keeper, error) {
	direct, err := client.New(o.Config, client.Options{})
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	keeper := authority.NewKeeper(authority.KeeperOptions{Client: direct, Namespace: o.Namespace, Now: o.Now})
	if err := keeper.Load(ctx); err != nil {
		return nil, err
	}
	return keeper, nil
}

// addControllers adds what only the leader runs.
func addControllers(ctx context.Context, mgr manager.Manager, o *Options, keeper *authority.Keeper, secrets *credential.Store) error {
	transitions := phase.NewTransitions()
	if err := o.Registerer.Register(transitions); err != nil {
		return fmt.Errorf("metrics of conditions: %w", err)
	}
	clients := phase.Of(mgr, transitions)
	indexer := mgr.GetFieldIndexer()
	if err := errors.Join(census.Index(ctx, indexer), accessrequest.Index(ctx, indexer)); err != nil {
		return err
	}
	rotated := make(chan event.GenericEvent, 1)
	keeper.OnChange(func() {
		select {
		case rotated <- event.GenericEvent{Object: &corev1.ConfigMap{}}: // any object: everything is looked at
		default: // one that has not been taken up yet means the same
		}
	})
	return errors.Join(
		datasource.SetUp(mgr, clients, secrets),
		accesspolicy.SetUp(mgr, clients),
		accessrequest.SetUp(mgr, clients, o.RequestsKept),
		trust.SetUp(mgr, o.Namespace, keeper.TrustBundle, rotated),
		addNotifier(mgr, o),
	)
}

// addNotifier adds, on the leader, who tells people of AccessRequests. A file that cannot be used ends the operator: an
// approver who is not asked would look like one who does not answer.
func addNotifier(mgr manager.Manager, o *Options) error {
	if o.Notify == "" {
		return nil
	}
	sinks, err := notify.Load(o.Notify)
	if err != nil {
		return fmt.Errorf("--notify: %w", err)
	}
	n, err := notify.New(notify.Options{Config: sinks, Cache: mgr.GetCache(), Registerer: o.Registerer, Log: o.Log.WithName("notify")})
	if err != nil {
		return fmt.Errorf("--notify: %w", err)
	}
	return mgr.Add(n)
}
