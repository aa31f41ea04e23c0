package distribute

import (
	"context"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	sidecarv1alpha1 "github.com/tidewaiter/tidewaiter/api/sidecar/v1alpha1"
	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/controllers/approvals"
	"github.com/tidewaiter/tidewaiter/controllers/compile"
	"github.com/tidewaiter/tidewaiter/controllers/session"
)

// asker is the pod as the desk knows it.
func asker(id identity) approvals.Pod {
	return approvals.Pod{Namespace: id.pod.Namespace, Name: id.pod.Name, UID: id.pod.UID, ServiceAccount: id.pod.Spec.ServiceAccountName}
}

// Served reports whether some replica has the stream of a pod, by its Session in the cache.
func Served(cached client.Reader) func(context.Context, approvals.Pod, types.NamespacedName) bool {
	return func(ctx context.Context, pod approvals.Pod, dataSource types.NamespacedName) bool {
		return session.Served(ctx, cached, session.Who{
			Namespace: pod.Namespace, Pod: pod.Name, UID: pod.UID, ServiceAccount: pod.ServiceAccount, DataSource: dataSource,
		})
	}
}

// ask brings a question to the desk, with what the cluster says of it. The policies are looked up anew: a sidecar may ask
// before the first look, and go by a bundle of another replica.
func (c *conversation) ask(ctx context.Context, m *sidecarv1alpha1.ApprovalRequest) {
	for _, name := range c.id.injected {
		if name.String() != m.GetDataSource() {
			continue
		}
		policies, err := c.s.selecting(ctx, name, subjectOf(c.id))
		if err != nil {
			c.log.Error(err, "what a sidecar asks about could not be looked up", "dataSource", name.String())
			c.desk.Refuse(m, "the operator cannot tell what its AccessPolicies say")
			return
		}
		c.desk.Ask(approvals.Question{Message: m, DataSource: name, Policies: policies})
		return
	}
	c.desk.Refuse(m, "the pod was not injected with that DataSource")
}

// selecting are the policies of a data source that select a workload; none where it may not use the data source.
func (s *Server) selecting(ctx context.Context, name types.NamespacedName, subject compile.Subject) ([]*v1alpha1.AccessPolicy, error) {
	w := s.world(ctx)
	ds, err := w.dataSource(name)
	if err != nil || ds == nil {
		return nil, err
	}
	attached, err := compile.Attached(ds, subject)
	if err != nil || !attached {
		return nil, err
	}
	all, err := w.policies(ds.Namespace)
	if err != nil {
		return nil, err
	}
	return compile.Selected(ds, all, subject)
}

// deliver sends what the desk has for the sidecar.
func (c *conversation) deliver(ctx context.Context) error {
	for _, msg := range c.desk.Take() {
		if err := c.send(ctx, msg); err != nil {
			return err
		}
	}
	return nil
}
