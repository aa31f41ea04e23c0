package operator

import (
	"context"
	"errors"
	"fmt"

	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/tidewaiter/tidewaiter/authority"
	"github.com/tidewaiter/tidewaiter/controllers/audit"
	"github.com/tidewaiter/tidewaiter/controllers/recordings"
	"github.com/tidewaiter/tidewaiter/recording/store"
)

// eraser is the store of recordings as the server for auditors erases in it.
type eraser struct{ kept *recordings.Store }

// Erase says of a session that is not there what a bucket says of an object.
func (e eraser) Erase(ctx context.Context, s store.Session, by, reason string) error {
	err := e.kept.Erase(ctx, s, by, reason)
	if errors.Is(err, recordings.ErrNoSession) {
		return fmt.Errorf("%w: %w", store.ErrNotFound, err)
	}
	return err
}

// addAudit adds, on every replica, the server by which auditors read recordings. It is known by the names of the server for sidecars:
// one Service is in front of both.
func addAudit(mgr manager.Manager, o *Options, keeper *authority.Keeper, clientset kubernetes.Interface, source store.Source, eraser audit.Eraser) error {
	names := append([]string{service(ServiceForSidecars, o.Namespace)}, o.Names...)
	server, err := audit.New(audit.Options{
		Source: source, Eraser: eraser,
		Tokens: clientset.AuthenticationV1().TokenReviews(), Access: clientset.AuthorizationV1().SubjectAccessReviews(),
		TLS: keeper.TLSConfig(names...), Listen: o.Auditors, Log: o.Log.WithName("audit"), Registerer: o.Registerer,
	})
	if err != nil {
		return fmt.Errorf("--recordings-address: %w", err)
	}
	return errors.Join(mgr.Add(server), mgr.AddReadyzCheck("audit", server.Ready))
}
