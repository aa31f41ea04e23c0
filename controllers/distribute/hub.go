package distribute

import (
	"sync"

	"google.golang.org/grpc/codes"
	"k8s.io/apimachinery/pkg/types"
)

// stream is what the hub knows of one sidecar's stream.
type stream struct {
	uid         types.UID
	namespace   string
	dataSources []types.NamespacedName

	// dirty has an element when something has changed that may concern the stream.
	// Any number of changes are one element.
	dirty chan struct{}
	// gone is closed when the stream has to end, for the reason in end.
	gone chan struct{}
	end  *refusal

	// protected is how many acquired tags of a data source the sidecar has in force.
	// Guarded by the hub's mu.
	protected map[types.NamespacedName]int
}

func (s *stream) poke() {
	select {
	case s.dirty <- struct{}{}:
	default:
	}
}

// hub finds the streams that a change concerns. It is safe for concurrent use.
type hub struct {
	max int

	mu           sync.Mutex
	closed       *refusal
	byPod        map[types.UID]*stream
	byDataSource map[types.NamespacedName]map[*stream]bool
	byNamespace  map[string]map[*stream]bool
}

func newHub(limit int) *hub {
	return &hub{
		max: limit, byPod: map[types.UID]*stream{},
		byDataSource: map[types.NamespacedName]map[*stream]bool{}, byNamespace: map[string]map[*stream]bool{},
	}
}

// join adds a stream. A pod has one: an earlier one of it ends, since a process that
// connects anew has given it up, and if it has not, the pod is not as it should be.
func (h *hub) join(id identity) (*stream, error) {
	s := &stream{
		uid: id.pod.UID, namespace: id.pod.Namespace, dataSources: id.injected,
		dirty: make(chan struct{}, 1), gone: make(chan struct{}),
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed != nil {
		return nil, h.closed
	}
	if old := h.byPod[s.uid]; old != nil {
		h.remove(old)
		old.end = &refusal{codes.Aborted, ReasonReplaced, "the pod has opened another stream"}
		close(old.gone)
	}
	if len(h.byPod) >= h.max {
		return nil, &refusal{codes.ResourceExhausted, ReasonTooMany, "this replica of the operator serves as many sidecars as it may: try again"}
	}
	h.byPod[s.uid] = s
	for _, ds := range s.dataSources {
		add(h.byDataSource, ds, s)
	}
	add(h.byNamespace, s.namespace, s)
	s.poke()
	return s, nil
}

func add[K comparable](index map[K]map[*stream]bool, key K, s *stream) {
	if index[key] == nil {
		index[key] = map[*stream]bool{}
	}
	index[key][s] = true
}

func drop[K comparable](index map[K]map[*stream]bool, key K, s *stream) {
	if delete(index[key], s); len(index[key]) == 0 {
		delete(index, key)
	}
}

// leave removes a stream that has ended, and reports whether it was the pod's
// latest.
func (h *hub) leave(s *stream) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.byPod[s.uid] != s {
		return false
	}
	h.remove(s)
	return true
}

// has reports whether a pod has a stream here.
func (h *hub) has(uid types.UID) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.byPod[uid] != nil
}

func (h *hub) remove(s *stream) {
	delete(h.byPod, s.uid)
	for _, ds := range s.dataSources {
		drop(h.byDataSource, ds, s)
	}
	drop(h.byNamespace, s.namespace, s)
}

// podChanged pokes the pod's stream.
func (h *hub) podChanged(uid types.UID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s := h.byPod[uid]; s != nil {
		s.poke()
	}
}

// dataSourceChanged pokes the streams of a data source.
func (h *hub) dataSourceChanged(name types.NamespacedName) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for s := range h.byDataSource[name] {
		s.poke()
	}
}

// namespaceChanged pokes the streams of pods in a namespace.
func (h *hub) namespaceChanged(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for s := range h.byNamespace[name] {
		s.poke()
	}
}

// close ends all streams, and those that would come.
func (h *hub) close(why *refusal) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = why
	for _, s := range h.byPod {
		h.remove(s)
		s.end = why
		close(s.gone)
	}
}

// count is how many streams there are.
func (h *hub) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.byPod)
}
