package admission

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
)

// Cached are the Objects of a manager's cache.
type Cached struct {
	reader                 client.Reader
	sources, allNamespaces cache.Informer
}

// NewCached makes the cache keep what admission asks for. It waits for nothing: Ready says when all of it is there.
func NewCached(ctx context.Context, from cache.Cache) (*Cached, error) {
	now := cache.BlockUntilSynced(false)
	sources, err := from.GetInformer(ctx, &v1alpha1.DataSource{}, now)
	if err != nil {
		return nil, fmt.Errorf("watching DataSources: %w", err)
	}
	namespaces, err := from.GetInformer(ctx, &corev1.Namespace{}, now)
	if err != nil {
		return nil, fmt.Errorf("watching Namespaces: %w", err)
	}
	return &Cached{reader: from, sources: sources, allNamespaces: namespaces}, nil
}

var errNotRead = errors.New("the operator has not read DataSources and Namespaces yet; try again")

// Ready implements Objects.
func (c *Cached) Ready() error {
	// Before they are synced, reading would wait for the API server.
	if !c.sources.HasSynced() || !c.allNamespaces.HasSynced() || c.sources.IsStopped() || c.allNamespaces.IsStopped() {
		return errNotRead
	}
	return nil
}

// DataSource implements Objects.
func (c *Cached) DataSource(ctx context.Context, namespace, name string) (*v1alpha1.DataSource, error) {
	var ds v1alpha1.DataSource
	switch err := c.reader.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &ds); {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("reading DataSource %s/%s: %w", namespace, name, err)
	default:
		return &ds, nil
	}
}

// Namespace implements Objects.
func (c *Cached) Namespace(ctx context.Context, name string) (map[string]string, bool, error) {
	var ns corev1.Namespace
	switch err := c.reader.Get(ctx, client.ObjectKey{Name: name}, &ns); {
	case apierrors.IsNotFound(err):
		return nil, false, nil
	case err != nil:
		return nil, false, fmt.Errorf("reading Namespace %s: %w", name, err)
	default:
		return ns.Labels, true, nil
	}
}
