package credential

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
)

// DefaultMax bounds how many Secrets are watched.
const DefaultMax = 1024

// Store watches the Secrets that DataSources name. It is safe for concurrent use.
type Store struct {
	source Source
	max    int

	mu        sync.Mutex
	ctx       context.Context // of Start; nil before
	wanted    map[types.NamespacedName][]Ref
	watches   map[Ref]*watch
	refused   map[Ref]bool // for which there was no room
	listeners []func(Ref)
}

// watch is one Secret that is being watched.
type watch struct {
	cancel context.CancelFunc
	state  State
}

// State is what is known of a Secret.
type State struct {
	// Secret, if it is there.
	Secret *corev1.Secret
	// Err is why it is not: an *Error.
	Err *Error
}

// Source watches one Secret by its name until ctx ends, and tells every change.
type Source interface {
	Watch(ctx context.Context, ref Ref, tell func(State))
}

// NewStore returns a Store that watches at most limit Secrets (0: DefaultMax).
func NewStore(source Source, limit int) *Store {
	if limit <= 0 {
		limit = DefaultMax
	}
	return &Store{
		source: source, max: limit,
		wanted: map[types.NamespacedName][]Ref{}, watches: map[Ref]*watch{}, refused: map[Ref]bool{},
	}
}

// OnChange calls f after each change of a Secret. f must not block. It is called
// before Start.
func (s *Store) OnChange(f func(Ref)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listeners = append(s.listeners, f)
}

// Start watches until ctx ends.
func (s *Store) Start(ctx context.Context) error {
	s.mu.Lock()
	s.ctx = ctx
	s.reconcile()
	s.mu.Unlock()
	<-ctx.Done()
	return nil
}

// NeedLeaderElection is false: every replica hands out credentials.
func (s *Store) NeedLeaderElection() bool { return false }

// Want says which Secrets the DataSource names now.
func (s *Store) Want(ds *v1alpha1.DataSource) {
	s.set(types.NamespacedName{Namespace: ds.Namespace, Name: ds.Name}, Refs(ds))
}

// Forget says that the DataSource is gone.
func (s *Store) Forget(name types.NamespacedName) { s.set(name, nil) }

func (s *Store) set(name types.NamespacedName, refs []Ref) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.Equal(s.wanted[name], refs) {
		return
	}
	if delete(s.wanted, name); refs != nil {
		s.wanted[name] = refs
	}
	s.reconcile()
}

// reconcile starts the watches that are missing and ends those that nobody wants.
func (s *Store) reconcile() {
	if s.ctx == nil {
		return
	}
	wanted := map[Ref]bool{}
	for _, refs := range s.wanted {
		for _, ref := range refs {
			wanted[ref] = true
		}
	}
	for ref, w := range s.watches {
		if !wanted[ref] {
			w.cancel()
			delete(s.watches, ref)
		}
	}
	clear(s.refused)
	// Sorted, so that it does not change from one call to the next who is left out.
	for _, ref := range slices.SortedFunc(maps.Keys(wanted), compare) {
		if s.watches[ref] != nil {
			continue
		}
		if len(s.watches) >= s.max {
			s.refused[ref] = true
			continue
		}
		ctx, cancel := context.WithCancel(s.ctx)
		w := &watch{cancel: cancel, state: State{Err: pending()}}
		s.watches[ref] = w
		go s.source.Watch(ctx, ref, func(state State) { s.tell(ref, w, state) })
	}
}

func compare(a, b Ref) int {
	switch {
	case a.String() < b.String():
		return -1
	case a.String() > b.String():
		return 1
	}
	return 0
}

func (s *Store) tell(ref Ref, w *watch, state State) {
	s.mu.Lock()
	if s.watches[ref] != w { // an end that came too late
		s.mu.Unlock()
		return
	}
	w.state = state
	listeners := slices.Clone(s.listeners)
	s.mu.Unlock()
	for _, f := range listeners {
		f(ref)
	}
}

func pending() *Error {
	return &Error{Reason: ReasonPending, Message: "has not been read yet"}
}

// Get is a Getter. It does not wait.
func (s *Store) Get(ref Ref) (*corev1.Secret, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.watches[ref]
	switch {
	case w == nil && s.refused[ref]:
		return nil, &Error{
			Reason: ReasonPending, Secret: ref.String(),
			Message: fmt.Sprintf("is not read: the operator watches at most %d Secrets", s.max),
		}
	case w == nil:
		return nil, pending()
	case w.state.Secret == nil:
		return nil, w.state.Err
	}
	return w.state.Secret, nil
}
