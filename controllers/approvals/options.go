package approvals

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Bounds of what one pod may have of a desk, see ADR 0016.
const (
	maxOpen    = 10  // open AccessRequests of a pod
	maxCreated = 120 // in window, of a pod
	window     = 10 * time.Minute
	maxQueued  = 64  // of a pod, that wait for their turn
	maxGiven   = 256 // grants of a stream, as many as a sidecar keeps
)

// Options of a Desk. Client and Cache are required; what else is left out has a default.
type Options struct {
	// Client creates AccessRequests and writes their status.
	Client client.Client
	// Cache has AccessRequests, AccessDecisions, Pods and Sessions. It is started by others.
	Cache cache.Cache
	// Served reports whether some replica has a stream of the pod for the data source; nil: none has.
	Served func(ctx context.Context, pod Pod, dataSource types.NamespacedName) bool
	// PerNamespace is how many AccessRequests a namespace may hold: 2,000.
	PerNamespace int
	// MaxHolds bounds what waits at this replica, of all pods: 20,000.
	MaxHolds int
	// Patience is how long a hold may be without a stream before its request is withdrawn: 60 s.
	Patience time.Duration
	// Log gets what fails.
	Log logr.Logger
	// Registerer gets the metrics.
	Registerer prometheus.Registerer
	// Now is the clock.
	Now func() time.Time
}

func (o *Options) defaults() error {
	if o.Client == nil || o.Cache == nil {
		return errors.New("approvals: Client and Cache are required")
	}
	o.PerNamespace, o.MaxHolds = cmp.Or(o.PerNamespace, 2000), cmp.Or(o.MaxHolds, 20000)
	o.Patience = cmp.Or(o.Patience, time.Minute)
	if o.Served == nil {
		o.Served = func(context.Context, Pod, types.NamespacedName) bool { return false }
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return nil
}

// Pod is who asks, as the operator knows it.
type Pod struct {
	Namespace, Name string
	UID             types.UID
	ServiceAccount  string
}
