package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/tidewaiter/tidewaiter/recording/ledger"
)

// resume finds out where the log is, and finishes what another leader has begun.
func (s *Sequencer) resume(ctx context.Context) error {
	state, err := s.o.Register.Load(ctx)
	if err != nil {
		return at("register", err)
	}
	published, err := s.published(ctx)
	if err != nil {
		return at("checkpoint", err)
	}
	if state, err = s.settle(ctx, state, published); err != nil {
		return err
	}
	s.state = state
	if len(state.Checkpoint) == 0 {
		s.tree = &ledger.Tree{}
		return nil
	}
	c, err := s.parse(state.Checkpoint)
	if err != nil {
		return at("register", err)
	}
	tree, err := s.finish(ctx, &c, published != nil && published.Tree == c.Tree)
	if err != nil {
		return err
	}
	if err := s.scan(ctx, &c); err != nil {
		return at("scan", err)
	}
	s.tree = tree
	s.metrics.published(c.Tree.N)
	return nil
}

// published is the checkpoint in the bucket; nil where there is none.
func (s *Sequencer) published(ctx context.Context) (*ledger.Checkpoint, error) {
	signed, err := s.o.Objects.Get(ctx, ledger.CheckpointName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	c, err := s.parse(signed)
	if err != nil {
		return nil, fmt.Errorf("%s in the store: %w: the store has a log of another cluster or key: restore the Secret %s, or give this cluster a store of its own",
			ledger.CheckpointName, err, SecretName)
	}
	return &c, nil
}

// settle brings register and bucket together. The bucket is ahead only where the register was lost, or put back from a
// backup: what was published is the log then, as whoever has seen it would find a fork.
func (s *Sequencer) settle(ctx context.Context, state State, published *ledger.Checkpoint) (State, error) {
	next := state.clone()
	changed, err := s.publishKeys(&next)
	if err != nil {
		return state, at("register", err)
	}
	ahead := published != nil
	if len(state.Checkpoint) > 0 {
		c, err := s.parse(state.Checkpoint)
		if err != nil {
			return state, at("register", err)
		}
		if ahead = published != nil && published.Tree.N > c.Tree.N; ahead {
			if err := ledger.NewReader(s.o.Objects, published).Continues(ctx, &c); err != nil {
				return state, at("fork", fmt.Errorf("register and store show two logs: %w", err))
			}
		}
	}
	if ahead {
		next.Checkpoint, next.Batch, changed = published.Signed, "", true
		s.o.Log.Info("the log's state was behind what is published, and is brought up to it", "size", published.Tree.N)
	}
	if !changed {
		return state, nil
	}
	swapped, err := s.o.Register.Swap(ctx, state, next)
	if err != nil {
		return state, at("register", err)
	}
	return swapped, nil
}

// publishKeys adds the public keys to a state. A log does not change its key: whoever verifies it has the old one.
func (s *Sequencer) publishKeys(state *State) (changed bool, err error) {
	attestations, err := s.o.Keys.RecordingPublic()
	if err != nil {
		return false, err
	}
	for key, value := range map[string]string{
		KeyOrigin: s.o.Keys.Verifier.Name(), KeyVerifier: s.o.Keys.Public, KeyRecording: attestations,
	} {
		switch have := state.Published[key]; have {
		case value:
		case "":
			state.Published[key], changed = value, true
		default:
			return false, fmt.Errorf("the log was made with another %s than the Secret %s has: restore the Secret from a backup", key, SecretName)
		}
	}
	return changed, nil
}

// finish makes sure that all of a checkpoint's log is in the bucket, and returns the log.
func (s *Sequencer) finish(ctx context.Context, c *ledger.Checkpoint, published bool) (*ledger.Tree, error) {
	if s.state.Batch == "" || published {
		tree, err := ledger.LoadTree(ctx, s.o.Objects, c.Tree)
		if err != nil {
			return nil, at("tiles", err)
		}
		if !published {
			err = s.show(ctx, c.Signed)
		} else if s.state.Batch != "" {
			s.tidy(ctx)
		}
		return tree, err
	}
	b, tree, objects, err := readBatch(ctx, s.o.Objects, s.state.Batch, c.Tree)
	if err != nil {
		return nil, at("batch", err)
	}
	if err := s.publish(ctx, c.Signed, objects); err != nil {
		return nil, err
	}
	s.clean(ctx, b, "", objects)
	return tree, nil
}

// tidy deletes what the last batch of another leader has left.
func (s *Sequencer) tidy(ctx context.Context) {
	data, err := s.o.Objects.Get(ctx, s.state.Batch)
	var b batch
	if err == nil {
		err = json.Unmarshal(data, &b)
	}
	if err != nil {
		s.metrics.failed(at("clean", err))
		return
	}
	s.clean(ctx, &b, "", nil)
}

// scan reads the leaves that this leader does not know yet, as far back as they matter.
func (s *Sequencer) scan(ctx context.Context, c *ledger.Checkpoint) error {
	reader := ledger.NewReader(s.o.Objects, c)
	known, err := s.known(ctx, reader)
	if err != nil {
		return err
	}
	// Where leaves are taken that are known already, as the pods are known from further on than the IDs, they change nothing.
	for e, err := range reader.Leaves(ctx, known.size, c.Tree.N) {
		if err != nil {
			return err
		}
		s.mu.Lock()
		known.add(e.Index, &e.Leaf)
		s.mu.Unlock()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	known.size, known.root = c.Tree.N, c.Tree.Hash
	s.seen = known
	return nil
}

// known is what this leader knows already of the log, or what a former one has left; what it knows of another log is nothing.
func (s *Sequencer) known(ctx context.Context, r *ledger.Reader) (*seen, error) {
	same := func(size int64, root tlog.Hash) (bool, error) {
		if size == 0 || size > r.Size() {
			return false, nil
		}
		is, err := r.Root(ctx, size)
		return is == root, err
	}
	if ok, err := same(s.seen.size, s.seen.root); ok || err != nil {
		return s.seen, err
	}
	fresh := newSeen()
	left, err := s.readPods(ctx)
	if err != nil {
		return nil, err
	}
	ok, err := same(left.Size, left.Root)
	if !ok || err != nil {
		return fresh, err
	}
	for _, p := range left.Pods {
		fresh.pods[p.UID] = &openPod{Pod: p}
	}
	fresh.size = min(left.Size, max(0, r.Size()-idsRead))
	return fresh, nil
}
