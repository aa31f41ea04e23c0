package session

import (
	"context"
	"sync"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
)

// allotment counts the Sessions of namespaces. Counts come from the cache and are
// kept for some seconds, with what was created since on top.
type allotment struct {
	reader client.Reader
	limit  int
	now    func() time.Time

	mu     sync.Mutex
	counts map[string]*count
}

type count struct {
	n  int
	at time.Time
}

const (
	countKept     = 10 * time.Second
	maxNamespaces = 10000
)

func newAllotment(reader client.Reader, limit int, now func() time.Time) *allotment {
	return &allotment{reader: reader, limit: limit, now: now, counts: map[string]*count{}}
}

// take reports whether the namespace has room for one more, and fills it. What
// cannot be counted is full.
func (a *allotment) take(ctx context.Context, namespace string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	c := a.counts[namespace]
	if c == nil || a.now().Sub(c.at) > countKept {
		var list v1alpha1.SessionList
		err := a.reader.List(ctx, &list, client.InNamespace(namespace), client.UnsafeDisableDeepCopy)
		if err != nil {
			return false
		}
		if len(a.counts) >= maxNamespaces {
			clear(a.counts)
		}
		c = &count{n: len(list.Items), at: a.now()}
		a.counts[namespace] = c
	}
	if c.n >= a.limit {
		return false
	}
	c.n++
	return true
}

// give takes a take back.
func (a *allotment) give(namespace string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if c := a.counts[namespace]; c != nil && c.n > 0 {
		c.n--
	}
}
