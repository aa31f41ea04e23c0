package recordings

import (
	"context"
	"sync"

	"github.com/tidewaiter/tidewaiter/recording/store"
)

// maxPods is how many pods' use of the store is remembered; of the others it is counted again.
const maxPods = 4096

// usage counts what is in the store, so that nobody fills it. What other replicas put there it sees when it counts again.
type usage struct {
	bucket *store.Bucket
	limits Limits

	mu    sync.Mutex
	total int64
	pods  map[podKey]*podUsage
}

type podKey struct{ namespace, uid string }

type podUsage struct {
	bytes int64
	files int
}

func newUsage(b *store.Bucket, l Limits) *usage {
	return &usage{bucket: b, limits: l, pods: map[podKey]*podUsage{}}
}

// count counts the whole store, where a limit is set.
func (u *usage) count(ctx context.Context) error {
	if u.limits.Total < 0 {
		return nil
	}
	total := int64(0)
	for o, err := range u.bucket.List(ctx, store.Recordings) {
		if err != nil {
			return err
		}
		total += o.Size
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.total = total
	clear(u.pods)
	return nil
}

// reserve counts what is about to be put for a session that has before bytes, or says why it may not be.
func (u *usage) reserve(ctx context.Context, s store.Session, before, n int64) (rejected string, err error) {
	if before+n > u.limits.File {
		return RejectedSession, nil
	}
	if err := u.known(ctx, s); err != nil {
		return "", err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	p := u.pods[podKey{s.Namespace, s.UID}]
	if p == nil { // forgotten since: count again with the next
		p = &podUsage{}
	}
	switch {
	case p.bytes+n > u.limits.Pod || p.files >= u.limits.Files:
		return RejectedPodFull, nil
	case u.limits.Total >= 0 && u.total+n > u.limits.Total:
		return RejectedStoreFull, nil
	}
	p.bytes, p.files, u.total = p.bytes+n, p.files+1, u.total+n
	return "", nil
}

// known counts what a pod has, unless that was done.
func (u *usage) known(ctx context.Context, s store.Session) error {
	key := podKey{s.Namespace, s.UID}
	u.mu.Lock()
	p := u.pods[key]
	u.mu.Unlock()
	if p != nil {
		return nil
	}
	p = &podUsage{}
	for o, err := range u.bucket.List(ctx, store.Recordings+s.Namespace+"/"+s.UID+"/") {
		if err != nil {
			return err
		}
		p.bytes, p.files = p.bytes+o.Size, p.files+1
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.pods[key] == nil {
		for old := range u.pods { // any
			if len(u.pods) < maxPods {
				break
			}
			delete(u.pods, old)
		}
		u.pods[key] = p
	}
	return nil
}

// release takes back what was not put, or was deleted.
func (u *usage) release(s store.Session, n int64, files int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.total -= n
	if p := u.pods[podKey{s.Namespace, s.UID}]; p != nil {
		p.bytes, p.files = p.bytes-n, p.files-files
	}
}
