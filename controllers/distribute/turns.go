package distribute

import (
	"context"
	"net"
	"sync"

	"google.golang.org/grpc/peer"
)

// turns bounds what each host has under way of something that there are few places
// for: a host that shows one forged token after the other waits behind itself, not
// others behind it. It is safe for concurrent use.
type turns struct {
	most int // of one host

	mu    sync.Mutex
	hosts map[string]*turn // those with something under way or waiting
}

type turn struct {
	slots chan struct{}
	users int
}

func newTurns(most int) *turns { return &turns{most: most, hosts: map[string]*turn{}} }

// take waits for the caller's host's turn, and reports false when ctx ends before it.
// Otherwise done has to be called.
func (t *turns) take(ctx context.Context) (done func(), ok bool) {
	host := hostOf(ctx)
	t.mu.Lock()
	mine := t.hosts[host]
	if mine == nil {
		mine = &turn{slots: make(chan struct{}, t.most)}
		t.hosts[host] = mine
	}
	mine.users++
	t.mu.Unlock()
	leave := func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if mine.users--; mine.users == 0 {
			delete(t.hosts, host)
		}
	}
	select {
	case mine.slots <- struct{}{}:
		return func() { <-mine.slots; leave() }, true
	case <-ctx.Done():
		leave()
		return nil, false
	}
}

// hostOf is where a call comes from; all that cannot be told are one host.
func hostOf(ctx context.Context) string {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return ""
	}
	host, _, err := net.SplitHostPort(p.Addr.String())
	if err != nil {
		return ""
	}
	return host
}
