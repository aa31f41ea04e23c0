package approvals

import (
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
)

// store indexes the AccessRequests that the cache has, so that nothing is listed for a question. Objects are the cache's own
// and are not changed. It is not safe for concurrent use.
type store struct {
	requests     map[types.NamespacedName]*v1alpha1.AccessRequest
	byHold       map[holdKey]types.NamespacedName
	byPod        map[types.UID]map[types.NamespacedName]bool // statements that are held, also those that are over
	perNamespace map[string]int
	alike        map[likeKey]map[types.NamespacedName]bool  // approved
	ahead        map[workload]map[types.NamespacedName]bool // approved
}

type holdKey struct {
	pod  types.UID
	hold string
}

// workload asks about a data source.
type workload struct {
	dataSource                types.NamespacedName
	namespace, serviceAccount string
}

// likeKey is equal for questions that one approval may be good for.
type likeKey struct {
	workload
	rules    string
	shape    v1alpha1.Digest
	exceeded bool // to begin is not to go on
}

func newStore() *store {
	return &store{
		requests: map[types.NamespacedName]*v1alpha1.AccessRequest{}, byHold: map[holdKey]types.NamespacedName{},
		byPod: map[types.UID]map[types.NamespacedName]bool{}, perNamespace: map[string]int{},
		alike: map[likeKey]map[types.NamespacedName]bool{}, ahead: map[workload]map[types.NamespacedName]bool{},
	}
}

func keyOf(r *v1alpha1.AccessRequest) types.NamespacedName {
	return types.NamespacedName{Namespace: r.Namespace, Name: r.Name}
}

func workloadOf(r *v1alpha1.AccessRequest) workload {
	return workload{
		types.NamespacedName{Namespace: r.Namespace, Name: string(r.Spec.DataSource.Name)},
		r.Spec.Requester.Namespace, string(r.Spec.Requester.ServiceAccount),
	}
}

func likeOf(r *v1alpha1.AccessRequest) likeKey {
	st := r.Spec.Statement
	return likeKey{workloadOf(r), ruleKey(rulesOfSpec(&r.Spec)), st.Shape, st.Exceeded != nil}
}

// put takes an object in the place of an earlier state of it.
func (s *store) put(r *v1alpha1.AccessRequest) {
	key := keyOf(r)
	s.drop(key)
	s.requests[key] = r
	s.perNamespace[key.Namespace]++
	st, pod := r.Spec.Statement, r.Spec.Requester.Pod
	if st != nil && pod != nil {
		s.byHold[holdKey{types.UID(pod.UID), st.Hold}] = key
		join(s.byPod, types.UID(pod.UID), key)
	}
	switch {
	case !approved(r):
	case st != nil && st.Shape != "":
		join(s.alike, likeOf(r), key)
	case st == nil && r.Spec.Access != nil:
		join(s.ahead, workloadOf(r), key)
	}
}

// drop forgets an object.
func (s *store) drop(key types.NamespacedName) {
	r := s.requests[key]
	if r == nil {
		return
	}
	delete(s.requests, key)
	if s.perNamespace[key.Namespace]--; s.perNamespace[key.Namespace] == 0 {
		delete(s.perNamespace, key.Namespace)
	}
	if st, pod := r.Spec.Statement, r.Spec.Requester.Pod; st != nil && pod != nil {
		if at := (holdKey{types.UID(pod.UID), st.Hold}); s.byHold[at] == key {
			delete(s.byHold, at)
		}
		part(s.byPod, types.UID(pod.UID), key)
	}
	if r.Spec.Statement != nil {
		part(s.alike, likeOf(r), key)
	}
	part(s.ahead, workloadOf(r), key)
}

func join[K comparable](index map[K]map[types.NamespacedName]bool, at K, key types.NamespacedName) {
	if index[at] == nil {
		index[at] = map[types.NamespacedName]bool{}
	}
	index[at][key] = true
}

func part[K comparable](index map[K]map[types.NamespacedName]bool, at K, key types.NamespacedName) {
	if delete(index[at], key); len(index[at]) == 0 {
		delete(index, at)
	}
}

// ofHold is the request that was made for a hold, or nil.
func (s *store) ofHold(pod types.UID, hold string) *v1alpha1.AccessRequest {
	key, ok := s.byHold[holdKey{pod, hold}]
	if !ok {
		return nil
	}
	return s.requests[key]
}

// ofPod counts the pod's open requests, and those made since a time.
func (s *store) ofPod(pod types.UID, since time.Time) (opened, made int) {
	for key := range s.byPod[pod] {
		r := s.requests[key]
		if open(r) {
			opened++
		}
		if r.CreationTimestamp.After(since) {
			made++
		}
	}
	return opened, made
}

// open reports whether people can still answer.
func open(r *v1alpha1.AccessRequest) bool {
	return r.DeletionTimestamp == nil && (r.Status.State == "" || r.Status.State == v1alpha1.RequestPending)
}

func approved(r *v1alpha1.AccessRequest) bool {
	return r.DeletionTimestamp == nil && r.Status.State == v1alpha1.RequestApproved
}
