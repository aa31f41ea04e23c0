package cluster

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Bounds of lists.
const (
	page = 500
	// MaxObjects is how many objects of a kind are read. A namespace has at most 2,000 AccessRequests.
	MaxObjects = 20_000
)

// ErrTooMany says that a list was given up.
var ErrTooMany = fmt.Errorf("more than %d objects: choose a namespace with -n", MaxObjects)

// List reads all objects of a kind, page by page, and hands each page to add.
func (c *Cluster) List(ctx context.Context, list client.ObjectList, add func(), options ...client.ListOption) error {
	token := ""
	for read := 0; ; {
		if err := c.WithWatch.List(ctx, list, append(options, client.Limit(page), client.Continue(token))...); err != nil {
			return err
		}
		add()
		if token = list.GetContinue(); token == "" {
			return nil
		}
		if read += meta.LenList(list); read >= MaxObjects {
			return ErrTooMany
		}
	}
}

// Follow keeps a copy of all objects of a kind and calls changed after every change, from one goroutine at a time; the first
// time when the copy is complete. Objects in the store are shared: they must not be changed. lost is called with the error when
// the API server's watch breaks, which is then begun again. It returns when ctx ends; the error is one of the first list.
func (c *Cluster) Follow(ctx context.Context, object client.Object, list func() client.ObjectList, namespace string, changed func([]any), lost func(error)) error {
	if err := c.WithWatch.List(ctx, list(), client.InNamespace(namespace), client.Limit(1)); err != nil {
		return err // said at once, where a reflector would try for ever
	}
	source := &toolscache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			l := list()
			return l, c.WithWatch.List(ctx, l, &client.ListOptions{Namespace: namespace, Raw: &o})
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			return c.Watch(ctx, list(), &client.ListOptions{Namespace: namespace, Raw: &o})
		},
	}
	informer := toolscache.NewSharedIndexInformer(source, object, 0, toolscache.Indexers{})
	if err := informer.SetWatchErrorHandlerWithContext(func(_ context.Context, _ *toolscache.Reflector, err error) {
		if !apierrors.IsResourceExpired(err) && ctx.Err() == nil {
			lost(err)
		}
	}); err != nil {
		return err
	}
	dirty := make(chan struct{}, 1)
	touch := func() {
		select {
		case dirty <- struct{}{}:
		default: // there is one to come, which sees this change as well
		}
	}
	if _, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { touch() }, UpdateFunc: func(any, any) { touch() }, DeleteFunc: func(any) { touch() },
	}); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() { defer close(ended); informer.RunWithContext(ctx) }()
	defer func() { <-ended }()
	if !toolscache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
		return nil // ctx ended
	}
	for {
		changed(informer.GetStore().List())
		select {
		case <-ctx.Done():
			return nil
		case <-dirty:
		case <-time.After(time.Second): // what expires in 3 s expires in 2 s a second later
		}
	}
}
