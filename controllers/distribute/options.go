package distribute

import (
	"cmp"
	"context"
	"errors"
	"net"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/cache"

	"github.com/tidewaiter/tidewaiter/authority"
	"github.com/tidewaiter/tidewaiter/controllers/acquired"
	"github.com/tidewaiter/tidewaiter/controllers/approvals"
	"github.com/tidewaiter/tidewaiter/controllers/budget"
	"github.com/tidewaiter/tidewaiter/controllers/credential"
	"github.com/tidewaiter/tidewaiter/controllers/recordings"
	"github.com/tidewaiter/tidewaiter/controllers/session"
	"github.com/tidewaiter/tidewaiter/injection"
)

// Audience that a sidecar's token has to be made for.
const Audience = injection.Audience

// TokenReviewer is what is used of client-go's
// AuthenticationV1().TokenReviews().
type TokenReviewer interface {
	Create(ctx context.Context, review *authenticationv1.TokenReview, opts metav1.CreateOptions) (*authenticationv1.TokenReview, error)
}

// Options of a Server. The first group is required; what else is left out has a
// default.
type Options struct {
	// Cache has Pods, Namespaces, DataSources and AccessPolicies. It is started by
	// others (the manager).
	Cache cache.Cache
	// Tokens asks the API server whose token it is.
	Tokens TokenReviewer
	// Secrets that DataSources name. It is started by others; the Server tells it
	// which DataSources there are.
	Secrets *credential.Store
	// Authority is loaded, and started by others.
	Authority *authority.Keeper
	// Sessions is started by others.
	Sessions *session.Writer
	// Approvals asks people. It is started by others.
	Approvals *approvals.Desk
	// Injection is what pods are injected with: others are not believed.
	Injection injection.Settings
	// Listen is host:port, or Listener is open already.
	Listen   string
	Listener net.Listener
	// Names that sidecars know the server by: DNS names and IP addresses.
	Names []string

	// Acquired keeps tags that columns acquire; nil, none may.
	Acquired *acquired.Keeper
	// OneReplica says that there is no other replica whose sidecars have to hear of something.
	OneReplica bool
	// Recordings keeps what sidecars ship; nil, it is not taken.
	Recordings *recordings.Store
	// Budgets is the ledger of hourly budgets; nil, nothing is lent of any.
	Budgets *budget.Ledger
	// Lease of a sidecar, and a third of it between renewals: 60 s.
	Lease time.Duration
	// BundleLifetime is how long a sidecar may decide by a bundle: 24 h. It is
	// renewed when half of that is over.
	BundleLifetime time.Duration
	// StreamAge after which a sidecar is asked to connect again, so that streams
	// spread over the replicas; up to a quarter is added at random: 30 min.
	StreamAge time.Duration
	// MaxStreams at the same time: 5,000.
	MaxStreams int
	// Log gets streams at level 1, refusals and trouble at level 0.
	Log logr.Logger
	// Registerer gets the metrics.
	Registerer prometheus.Registerer
	// Now is the clock.
	Now func() time.Time
}

func (o *Options) defaults() error {
	if o.Cache == nil || o.Tokens == nil || o.Secrets == nil || o.Authority == nil || o.Sessions == nil || o.Approvals == nil {
		return errors.New("distribute: Cache, Tokens, Secrets, Authority, Sessions and Approvals are required")
	}
	if err := o.Injection.Check(); err != nil {
		return err
	}
	if (o.Listen == "") == (o.Listener == nil) || len(o.Names) == 0 {
		return errors.New("distribute: either Listen or Listener is required, and Names")
	}
	o.Lease, o.BundleLifetime = cmp.Or(o.Lease, time.Minute), cmp.Or(o.BundleLifetime, 24*time.Hour)
	o.StreamAge, o.MaxStreams = cmp.Or(o.StreamAge, 30*time.Minute), cmp.Or(o.MaxStreams, 5000)
	if o.Now == nil {
		o.Now = time.Now
	}
	return nil
}
