package audit

import (
	"net/http"
	"strconv"
	"sync"

	"github.com/tidewaiter/tidewaiter/controllers/audit/wire"
)

// crowd bounds how many requests are answered at the same time: of one user, so that nobody keeps others from reading, and of all.
type crowd struct {
	perUser, all int

	mu    sync.Mutex
	users map[string]int
	now   int
}

func newCrowd(perUser, all int) *crowd {
	return &crowd{perUser: perUser, all: all, users: map[string]int{}}
}

// enter counts a request until leave is called, or refuses it.
func (c *crowd) enter(user string) (leave func(), r *wire.Refusal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.users[user] >= c.perUser:
		return nil, refuse(http.StatusTooManyRequests, wire.ReasonTooMany,
			user+" has "+strconv.Itoa(c.perUser)+" requests open: wait for one to end")
	case c.now >= c.all:
		return nil, refuse(http.StatusTooManyRequests, wire.ReasonTooMany, "too many requests are open: try again")
	}
	c.users[user]++
	c.now++
	return sync.OnceFunc(func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.now--
		if c.users[user]--; c.users[user] == 0 {
			delete(c.users, user)
		}
	}), nil
}
