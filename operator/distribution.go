package operator

import (
	"context"
	"errors"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/tidewaiter/tidewaiter/authority"
	"github.com/tidewaiter/tidewaiter/controllers/acquired"
	"github.com/tidewaiter/tidewaiter/controllers/approvals"
	"github.com/tidewaiter/tidewaiter/controllers/budget"
	"github.com/tidewaiter/tidewaiter/controllers/credential"
	"github.com/tidewaiter/tidewaiter/controllers/distribute"
	"github.com/tidewaiter/tidewaiter/controllers/session"
)

// addDistribution adds the server for sidecars, the desk at which they ask people, and the writer of their Sessions, on every replica, and on the leader the
// reaper of Sessions that nobody writes any more.
func addDistribution(ctx context.Context, mgr manager.Manager, o *Options, keeper *authority.Keeper, secrets *credential.Store, clientset kubernetes.Interface) error {
	writer := session.NewWriter(session.Options{
		Client: mgr.GetClient(), Replica: o.Replica, Log: o.Log.WithName("sessions"), Registerer: o.Registerer,
		Events: mgr.GetEventRecorder(session.FieldOwner),
	})
	desk, err := approvals.New(approvals.Options{
		Client: mgr.GetClient(), Cache: mgr.GetCache(), Served: distribute.Served(mgr.GetClient()),
		Log: o.Log.WithName("approvals"), Registerer: o.Registerer,
	})
	if err != nil {
		return err
	}
	budgets := budget.New(budget.Options{ConfigMaps: clientset.CoreV1().ConfigMaps(o.Namespace), Log: o.Log.WithName("budgets")})
	options := distribute.Options{
		Cache: mgr.GetCache(), Tokens: clientset.AuthenticationV1().TokenReviews(), Secrets: secrets, Authority: keeper,
		Sessions: writer, Approvals: desk, Injection: settings(o), Listen: o.Sidecars,
		Names:      append([]string{service(ServiceForSidecars, o.Namespace)}, o.Names...),
		Acquired:   &acquired.Keeper{Reader: mgr.GetAPIReader(), Writer: mgr.GetClient(), Now: time.Now},
		OneReplica: o.OneReplica, Budgets: budgets,
		Lease: o.SidecarLease, Log: o.Log.WithName("distribute"), Registerer: o.Registerer,
	}
	if options.Recordings, err = addRecordings(ctx, mgr, o, keeper, clientset); err != nil {
		return err
	}
	server, err := distribute.New(options)
	if err != nil {
		return err
	}
	reaper := session.NewReaper(session.ReaperOptions{Client: mgr.GetClient(), Alive: alive(mgr.GetClient(), o), Log: o.Log.WithName("reaper")})
	return errors.Join(
		mgr.Add(writer), mgr.Add(desk), mgr.Add(server), mgr.Add(reaper), mgr.Add(budgets),
		mgr.AddReadyzCheck("distribution", server.Ready),
	)
}

// alive reports whether a replica's pod runs. Without pods, as in development, nobody is missed.
func alive(cached client.Reader, o *Options) func(string) bool {
	if o.Replica == "" {
		return nil
	}
	return func(replica string) bool {
		var pod corev1.Pod
		err := cached.Get(context.Background(), client.ObjectKey{Namespace: o.Namespace, Name: replica}, &pod)
		if err != nil {
			return client.IgnoreNotFound(err) != nil // who cannot be looked up is not declared dead
		}
		return pod.Status.Phase != corev1.PodSucceeded && pod.Status.Phase != corev1.PodFailed
	}
}
