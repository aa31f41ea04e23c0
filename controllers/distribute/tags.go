package distribute

import (
	"context"
	"errors"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"

	sidecarv1alpha1 "github.com/tidewaiter/tidewaiter/api/sidecar/v1alpha1"
	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
)

const (
	// tagsPatience is how long sidecars may take to protect columns that are about to get protected values.
	tagsPatience = 5 * time.Second
	// elsewhere is how long it takes until the sidecars of other replicas do: within that time a change has to be in
	// force everywhere.
	elsewhere = 2 * time.Second
	// maxKeeping bounds what one sidecar has kept at a time.
	maxKeeping = 4
)

// keepTags keeps tags that columns are about to acquire, and answers when the sidecars protect them. It waits beside the
// conversation, which has to go on: its own sidecar is one of them.
func (c *conversation) keepTags(ctx context.Context, m *sidecarv1alpha1.TagsAcquired) {
	name, ok := c.injectedWith(m.GetDataSource())
	switch {
	case !ok || c.ledger.parts[name] == nil:
		c.tagsKept(ctx, m, errors.New("the pod may not use this DataSource"))
	case c.s.o.Acquired == nil:
		c.tagsKept(ctx, m, errors.New("this operator keeps none"))
	case c.keeping.Load() >= maxKeeping:
		c.tagsKept(ctx, m, errors.New("too many at a time"))
	default:
		c.keeping.Add(1)
		go func() {
			defer c.keeping.Add(-1)
			ctx, stop := context.WithTimeout(ctx, tagsPatience)
			defer stop()
			c.tagsKept(ctx, m, c.s.keepTags(ctx, name, m.GetColumns()))
		}()
	}
}

func (c *conversation) injectedWith(dataSource string) (types.NamespacedName, bool) {
	for _, name := range c.id.injected {
		if name.String() == dataSource {
			return name, true
		}
	}
	return types.NamespacedName{}, false
}

func (c *conversation) tagsKept(ctx context.Context, m *sidecarv1alpha1.TagsAcquired, err error) {
	answer := &sidecarv1alpha1.TagsKept{Sequence: m.GetSequence()}
	if err != nil {
		answer.Refused = clip(err.Error(), 512)
		c.log.Info("tags of columns that are about to get protected values were not kept, so they get none", "dataSource", clip(m.GetDataSource(), 320), "error", err.Error())
	}
	select {
	case c.out <- &sidecarv1alpha1.ConnectResponse{Message: &sidecarv1alpha1.ConnectResponse_Tags{Tags: answer}}:
	case <-ctx.Done(): // the sidecar refuses the statement when nothing comes
	}
}

// keepTags returns when the tags are kept and the columns protected.
func (s *Server) keepTags(ctx context.Context, name types.NamespacedName, columns []*sidecarv1alpha1.AcquiredTags) error {
	began := time.Now()
	more := make([]v1alpha1.AcquiredTags, 0, len(columns))
	for _, q := range columns {
		more = append(more, v1alpha1.AcquiredTags{
			Relation: int64(q.GetRelation()), Column: q.GetNumber(), Schema: q.GetSchema(), Name: q.GetName(), Tags: q.GetTags(),
		})
	}
	before, err := find(ctx, s.o.Cache, name, &v1alpha1.DataSource{})
	if err != nil {
		return errors.New("the operator cannot read its cache")
	}
	kept, err := s.o.Acquired.Keep(ctx, name, more)
	if err != nil {
		return err
	}
	most := 0
	for _, q := range kept {
		most += len(q.Tags)
	}
	news := before == nil || !equality.Semantic.DeepEqual(before.Status.Acquired, kept)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !s.hub.protected(name, most) || news && !s.o.OneReplica && time.Since(began) < elsewhere {
		select {
		case <-ctx.Done():
			return errors.New("a sidecar has not taken them in time")
		case <-tick.C:
		}
	}
	return nil
}

// protects notes what acquired tags the sidecar has in force.
func (c *conversation) protects() {
	c.s.hub.mu.Lock()
	defer c.s.hub.mu.Unlock()
	c.stream.protected = map[types.NamespacedName]int{}
	for name, p := range c.ledger.force {
		tags := 0
		for _, q := range p.message.GetAcquired() {
			tags += len(q.GetTags())
		}
		c.stream.protected[name] = tags
	}
}

// protected reports whether every sidecar of a data source that has something in force, and a stream here, has that many
// acquired tags. Tags are only ever added, but by the data's owner.
func (h *hub) protected(name types.NamespacedName, count int) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for s := range h.byDataSource[name] {
		if has, serves := s.protected[name]; serves && has < count {
			return false
		}
	}
	return true
}
