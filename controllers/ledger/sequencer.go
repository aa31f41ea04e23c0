package ledger

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/tidewaiter/tidewaiter/recording/ledger"
)

// Options of a sequencer. The first group is required.
type Options struct {
	Objects  ledger.Objects
	Register Register
	Keys     *Keys // their name is the log's origin

	// Mirror gets a copy of every checkpoint, and with MirrorAll of the whole log.
	Mirror    ledger.Objects
	MirrorAll bool
	// Witnesses are asked to cosign every checkpoint. With fewer than Quorum it is published all the same, and a condition and
	// a metric say so.
	Witnesses []*Witness
	Quorum    int
	// Ended reports whether a pod has ended for good, and why. Left out, none is ever said to be gone.
	Ended func(ctx context.Context, pod ledger.Pod) (why string, err error)
	// Interval between looks at what is pending: 1 s.
	Interval   time.Duration
	Now        func() time.Time
	Log        logr.Logger
	Registerer prometheus.Registerer // left out, there are no metrics to be seen
}

// Sequencer takes what is pending into the log. It runs on the leader; that two of them run for a while does no harm.
type Sequencer struct {
	o       Options
	metrics *metrics
	mirror  *mirror

	// What follows is of the goroutine that calls Tick. tree is nil where the state has to be read first.
	tree    *ledger.Tree
	state   State
	commits int
	idles   int
	dirty   bool   // state.Published is not what the Register has
	unmet   bool   // not all witnesses have cosigned
	told    string // the last error

	mu   sync.Mutex // guards seen, which Where asks
	seen *seen
}

// New returns a sequencer.
func New(o Options) (*Sequencer, error) {
	if o.Objects == nil || o.Register == nil || o.Keys == nil {
		return nil, errors.New("the log of recordings needs objects, a register and keys")
	}
	if o.Quorum < 0 || o.Quorum > len(o.Witnesses) {
		return nil, fmt.Errorf("--log-witness-quorum %d: there are %d witnesses", o.Quorum, len(o.Witnesses))
	}
	if o.Interval <= 0 {
		o.Interval = time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Sequencer{o: o, seen: newSeen()}
	var err error
	if s.metrics, err = newMetrics(o.Registerer, o.Now); err != nil {
		return nil, fmt.Errorf("metrics of the log: %w", err)
	}
	if o.Mirror != nil {
		s.mirror = newMirror(&o, s.metrics)
	}
	return s, nil
}

// NeedLeaderElection is true, see manager.LeaderElectionRunnable.
func (s *Sequencer) NeedLeaderElection() bool { return true }

// longestPause is the longest time between two attempts when nothing works.
const longestPause = 30 * time.Second

// Start takes leaves into the log until ctx ends. What fails is tried again: nothing of it is lost meanwhile.
func (s *Sequencer) Start(ctx context.Context) error {
	var running sync.WaitGroup
	defer running.Wait()
	if s.mirror != nil {
		running.Go(func() { s.mirror.run(ctx) })
	}
	if s.o.Ended != nil {
		running.Go(func() { s.watchPods(ctx) })
	}
	pause := s.o.Interval
	for ctx.Err() == nil {
		more, err := s.Tick(ctx)
		s.tell(ctx, err)
		switch {
		case err != nil && !errors.Is(err, ErrConflict):
			pause = min(2*pause, longestPause)
		case more:
			pause = 0
		default:
			pause = s.o.Interval
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = max(pause, s.o.Interval)
	}
	return nil
}

// tell says what fails, once as long as it is the same.
func (s *Sequencer) tell(ctx context.Context, err error) {
	text := ""
	if err != nil && ctx.Err() == nil {
		text = err.Error()
	}
	if text != "" && text != s.told {
		s.o.Log.Error(err, "the log of recordings does not go on; what is pending is kept")
	}
	s.told = text
}

// Tick takes one batch into the log. more says that another is waiting. After an error, or when another leader was faster,
// the next one begins with what is true then.
func (s *Sequencer) Tick(ctx context.Context) (more bool, err error) {
	if s.tree == nil {
		if err := s.resume(ctx); err != nil {
			return false, s.forget(err)
		}
	}
	t, err := s.take(ctx)
	if err != nil {
		return false, s.forget(err)
	}
	if len(t.entries) == 0 {
		return false, s.forget(s.idle(ctx))
	}
	return t.more, s.forget(s.commit(ctx, t))
}

// forget makes the next Tick read the state anew after an error: it may be that something was done.
func (s *Sequencer) forget(err error) error {
	if err != nil {
		s.tree = nil
		s.metrics.failed(err)
	}
	return err
}

// commit makes a batch part of the log.
func (s *Sequencer) commit(ctx context.Context, t *taken) error {
	before := s.tree.Head()
	next, objects, err := s.tree.Append(t.entries)
	if err != nil {
		return at("batch", err)
	}
	name := batchName(before, next.Head())
	b := &batch{Size: before.N, Root: before.Hash, Entries: t.entries, Pending: t.names}
	if err := putJSON(ctx, s.o.Objects, name, b); err != nil {
		return at("batch", err)
	}
	signed, err := ledger.Sign(s.o.Keys.Verifier.Name(), next.Head(), s.o.Keys.Signer)
	if err != nil {
		return at("batch", err)
	}
	older := s.state
	state := older.clone()
	state.Checkpoint, state.Batch = signed, name
	if s.state, err = s.o.Register.Swap(ctx, older, state); err != nil {
		return at("register", err)
	}
	// From here on the batch is the log, whatever becomes of this process.
	s.tree, s.dirty = next, false
	s.remember(before.N, next.Head().Hash, t.leaves)
	if err := s.publish(ctx, signed, objects); err != nil {
		return err
	}
	s.clean(ctx, b, older.Batch, objects)
	return nil
}

// remember takes leaves into account that are in the log from an index on.
func (s *Sequencer) remember(from int64, root tlog.Hash, leaves []*ledger.Leaf) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, l := range leaves {
		s.seen.add(from+int64(i), l)
	}
	s.seen.root = root
}

// where is the index of a leaf in the log, if it is one of the last that this leader knows.
func (s *Sequencer) where(id string) (index int64, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen.where(id)
}

// publish shows a checkpoint, after everything that it says is there.
func (s *Sequencer) publish(ctx context.Context, signed []byte, objects []ledger.Object) error {
	err := each(ctx, len(objects), func(i int) error {
		return s.o.Objects.Put(ctx, objects[i].Name, objects[i].Data)
	})
	if err != nil {
		return at("tiles", err)
	}
	return s.show(ctx, signed)
}

// show writes the checkpoint of a log whose tiles are there, with what witnesses say of it.
func (s *Sequencer) show(ctx context.Context, signed []byte) error {
	c, err := s.parse(signed)
	if err != nil {
		return at("checkpoint", err)
	}
	cosigned := s.cosign(ctx, &c)
	if err := s.o.Objects.Put(ctx, ledger.CheckpointName, cosigned); err != nil {
		return at("checkpoint", err)
	}
	s.metrics.published(c.Tree.N)
	if s.mirror != nil {
		c.Signed = cosigned
		s.mirror.offer(&c)
	}
	return nil
}

func (s *Sequencer) parse(signed []byte) (ledger.Checkpoint, error) {
	return ledger.ParseCheckpoint(signed, s.o.Keys.Verifier.Name(), s.o.Keys.Verifier)
}
