package control

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	sidecarv1alpha1 "github.com/tidewaiter/tidewaiter/api/sidecar/v1alpha1"
	"github.com/tidewaiter/tidewaiter/proxy/protocol"
)

// keepPatience is how long the operator may take to keep tags: it waits for the other sidecars.
const keepPatience = 10 * time.Second

// tagKeeper asks the operator to keep acquired tags, over the stream of the moment. It is safe for concurrent use.
type tagKeeper struct {
	mu       sync.Mutex
	stream   context.Context // ends with the stream; nil: there was none yet
	out      outgoing
	sequence uint64
	waiting  map[uint64]chan string // by sequence; what the operator refused, or ""
}

func (k *tagKeeper) attach(stream context.Context, out outgoing) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.stream, k.out = stream, out
}

// answer takes what the operator says. An answer that nobody waits for is dropped.
func (k *tagKeeper) answer(kept *sidecarv1alpha1.TagsKept) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if waits := k.waiting[kept.GetSequence()]; waits != nil {
		waits <- kept.GetRefused()
		delete(k.waiting, kept.GetSequence())
	}
}

// KeepTags asks the operator to keep tags that columns of a data source are about to acquire, and returns nil once it has, and
// the sidecars that it speaks to protect the columns. Errors are for clients to read.
func (c *Client) KeepTags(ctx context.Context, dataSource string, acquired []protocol.Acquired) error {
	k := &c.tags
	k.mu.Lock()
	stream, out := k.stream, k.out
	if stream == nil || stream.Err() != nil {
		k.mu.Unlock()
		return ErrNoStream
	}
	k.sequence++
	sequence, answer := k.sequence, make(chan string, 1)
	if k.waiting == nil {
		k.waiting = map[uint64]chan string{}
	}
	k.waiting[sequence] = answer
	k.mu.Unlock()
	defer func() {
		k.mu.Lock()
		delete(k.waiting, sequence)
		k.mu.Unlock()
	}()
	msg := &sidecarv1alpha1.TagsAcquired{Sequence: sequence, DataSource: dataSource}
	for _, q := range acquired {
		msg.Columns = append(msg.Columns, &sidecarv1alpha1.AcquiredTags{
			Relation: q.Relation, Number: int32(q.Number), Schema: q.Schema, Name: q.Name, Tags: q.Tags,
		})
	}
	out.put(stream, &sidecarv1alpha1.ConnectRequest{Message: &sidecarv1alpha1.ConnectRequest_Tags{Tags: msg}})
	late := time.NewTimer(keepPatience)
	defer late.Stop()
	select {
	case refused := <-answer:
		if refused != "" {
			return fmt.Errorf("the operator refused: %s", cut(refused, maxNack))
		}
		return nil
	case <-late.C:
		return errors.New("the operator has not answered in time")
	case <-stream.Done():
		return ErrNoStream
	case <-ctx.Done():
		return ctx.Err()
	}
}
