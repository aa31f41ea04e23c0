package catalog

import "sync"

// maxMemo bounds what is remembered of a snapshot.
const maxMemo = 8192

// memo keeps what others computed from a snapshot. Its zero value is empty.
type memo struct {
	mu     sync.Mutex
	values map[string]any
}

// Remember returns the value of a key, computing it where it is not known. The
// value must follow from the key and the snapshot alone and must not be changed;
// it may be computed more than once, also at the same time. At maxMemo values all
// are forgotten.
func (s *Snapshot) Remember(key string, compute func() any) any {
	s.memo.mu.Lock()
	value, known := s.memo.values[key]
	s.memo.mu.Unlock()
	if known {
		return value
	}
	value = compute()
	s.memo.mu.Lock()
	defer s.memo.mu.Unlock()
	if s.memo.values == nil || len(s.memo.values) >= maxMemo {
		s.memo.values = map[string]any{}
	}
	s.memo.values[key] = value
	return value
}
