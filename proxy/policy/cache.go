package policy

import (
	"hash/maphash"
	"sync"

	"github.com/tidewaiter/tidewaiter/proxy/access"
)

// shards spread the locks; a power of two.
const shards = 16

// cache keeps the decisions of one bundle. Each shard has two generations: when
// the young one is full it becomes the old one, and the old one is dropped. That
// bounds it, needs no bookkeeping on a hit, and keeps what is in use.
type cache struct {
	seed   maphash.Seed
	bound  int // decisions in one generation of one shard
	shards [shards]shard
}

type shard struct {
	mu         sync.RWMutex
	young, old map[cacheKey]*access.Decision
}

// cacheKey holds everything that the bundle's rules look at. Labels are in it as a
// hash under a secret seed, since maps do not compare.
type cacheKey struct {
	operation  uint64
	phase      access.Phase
	protocol   string
	dataSource string

	namespace, serviceAccount, pod, podUID string

	labels   uint64
	pid, uid int
	exe      string
	process  bool
}

func newCache(size int) *cache {
	return &cache{seed: maphash.MakeSeed(), bound: max(1, size/shards/2)}
}

func keyOf(seed maphash.Seed, b blind, id *access.Identity, op *access.Operation) cacheKey {
	k := cacheKey{
		operation: op.ID, protocol: op.Protocol, dataSource: op.DataSource,
		namespace: id.Namespace, serviceAccount: id.ServiceAccount,
	}
	if !b.phase {
		k.phase = op.Phase
	}
	if !b.pod {
		k.pod = id.Pod
	}
	if !b.podUID {
		k.podUID = id.PodUID
	}
	if !b.labels {
		k.labels = hashLabels(seed, id.Labels)
	}
	if p := id.Process; p != nil && !b.process {
		k.process, k.pid, k.uid, k.exe = true, p.PID, p.UID, p.Exe
	}
	return k
}

// label is hashed as a struct, so that its two strings cannot run together.
type label struct{ key, value string }

// hashLabels does not depend on the order of the map.
func hashLabels(seed maphash.Seed, labels map[string]string) uint64 {
	sum := uint64(len(labels))
	for k, v := range labels {
		sum += maphash.Comparable(seed, label{k, v})
	}
	return sum
}

func (c *cache) shard(k cacheKey) *shard {
	// IDs may be consecutive or hashes; either way their low bits spread.
	return &c.shards[k.operation%shards]
}

func (c *cache) get(k cacheKey) (*access.Decision, bool) {
	s := c.shard(k)
	s.mu.RLock()
	d, ok := s.young[k]
	if ok {
		s.mu.RUnlock()
		return d, true
	}
	d, ok = s.old[k]
	s.mu.RUnlock()
	if ok {
		c.put(k, d)
	}
	return d, ok
}

func (c *cache) put(k cacheKey, d *access.Decision) {
	s := c.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.young == nil {
		s.young = make(map[cacheKey]*access.Decision)
	}
	if len(s.young) >= c.bound {
		s.old, s.young = s.young, make(map[cacheKey]*access.Decision, c.bound)
	}
	s.young[k] = d
}
