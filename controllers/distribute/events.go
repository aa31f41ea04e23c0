package distribute

import (
	"context"
	"maps"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/controllers/credential"
)

// follow pokes the streams that changes in the cluster concern, and waits until the
// cache has everything.
func (s *Server) follow(ctx context.Context) error {
	for _, f := range []struct {
		kind   client.Object
		change func(before, after client.Object)
	}{
		{&corev1.Pod{}, s.podEvent},
		{&corev1.Namespace{}, s.namespaceEvent},
		{&v1alpha1.DataSource{}, s.dataSourceEvent},
		{&v1alpha1.AccessPolicy{}, s.policyEvent},
	} {
		informer, err := s.o.Cache.GetInformer(ctx, f.kind)
		if err != nil {
			return err
		}
		registration, err := informer.AddEventHandler(handler(f.change))
		if err != nil {
			return err
		}
		if !toolscache.WaitForCacheSync(ctx.Done(), registration.HasSynced) {
			return ctx.Err()
		}
	}
	return nil
}

// handler calls change with what was and what is, either of which may be nil.
func handler(change func(before, after client.Object)) toolscache.ResourceEventHandler {
	object := func(obj any) client.Object {
		if gone, ok := obj.(toolscache.DeletedFinalStateUnknown); ok {
			obj = gone.Obj
		}
		o, _ := obj.(client.Object)
		return o
	}
	return toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { change(nil, object(obj)) },
		UpdateFunc: func(before, after any) { change(object(before), object(after)) },
		DeleteFunc: func(obj any) { change(object(obj), nil) },
	}
}

func (s *Server) podEvent(before, after client.Object) {
	for _, o := range []client.Object{before, after} {
		if o != nil {
			s.hub.podChanged(o.GetUID())
		}
	}
}

func (s *Server) namespaceEvent(before, after client.Object) {
	switch {
	case after == nil && before != nil:
		s.hub.namespaceChanged(before.GetName())
	case after != nil && (before == nil || !maps.Equal(before.GetLabels(), after.GetLabels())):
		s.hub.namespaceChanged(after.GetName())
	}
}

// acquiredMore reports whether other columns have acquired tags.
func acquiredMore(before, after client.Object) bool {
	b, isOne := before.(*v1alpha1.DataSource)
	a, isAnother := after.(*v1alpha1.DataSource)
	return isOne && isAnother && !equality.Semantic.DeepEqual(b.Status.Acquired, a.Status.Acquired)
}

// dataSourceEvent also says which Secrets are to be watched. Changes of the status
// alone are none, but for acquired tags.
func (s *Server) dataSourceEvent(before, after client.Object) {
	if after == nil {
		if before != nil {
			s.o.Secrets.Forget(client.ObjectKeyFromObject(before))
			s.hub.dataSourceChanged(client.ObjectKeyFromObject(before))
		}
		return
	}
	if ds, ok := after.(*v1alpha1.DataSource); ok {
		s.o.Secrets.Want(ds)
	}
	if before == nil || before.GetGeneration() != after.GetGeneration() || before.GetUID() != after.GetUID() || acquiredMore(before, after) {
		s.hub.dataSourceChanged(client.ObjectKeyFromObject(after))
	}
}

func (s *Server) policyEvent(before, after client.Object) {
	if before != nil && after != nil && before.GetGeneration() == after.GetGeneration() && before.GetUID() == after.GetUID() {
		return
	}
	for _, o := range []client.Object{before, after} {
		p, ok := o.(*v1alpha1.AccessPolicy)
		if !ok {
			continue
		}
		for _, ref := range p.Spec.DataSources {
			s.hub.dataSourceChanged(types.NamespacedName{Namespace: p.Namespace, Name: string(ref.Name)})
		}
	}
}

// secretEvent finds the data sources that name the Secret.
func (s *Server) secretEvent(ref credential.Ref) {
	var list v1alpha1.DataSourceList
	err := s.o.Cache.List(context.Background(), &list, client.InNamespace(ref.Namespace), client.UnsafeDisableDeepCopy)
	if err != nil {
		s.o.Log.Error(err, "the DataSources of a namespace could not be listed", "namespace", ref.Namespace)
		return
	}
	for i := range list.Items {
		for _, have := range credential.Refs(&list.Items[i]) {
			if have == ref {
				s.hub.dataSourceChanged(client.ObjectKeyFromObject(&list.Items[i]))
			}
		}
	}
}
