package core

import (
	"errors"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/session"
)

// A result that has reached a limit may have to wait: for a part of an hourly budget, or for a person. Neither is waited for
// under the driver's lock. So the server side stands still in the place where it is, which may be in the middle of a message
// of the server; what the driver has read beyond that is held, and nothing more is read. When it is known how it goes on, the
// steps that could not be done are done again, and then what was held.

// errPaused says that a step has to be done again.
var errPaused = errors.New("core: the result stands still")

// pause is where the server side stands still.
type pause struct {
	exchange *session.Exchange
	steps    []func() error // what is to be done, in this order, before what was held
}

// take accounts for what is about to go to the client. With errPaused nothing was accounted for, and the same has to be asked
// again: by again, or, if that is nil, because the caller has not used the bytes that it is about. stopped is true where the
// result has been stopped.
func (c *Conn) take(a *answer, rows, bytes, masked int64, again func() error) (stopped bool, err error) {
	err = a.exchange.Take(rows, bytes, masked)
	switch {
	case err == nil:
		return false, nil
	case errors.Is(err, session.ErrPause):
		c.pause = &pause{exchange: a.exchange}
		if again != nil {
			c.pause.steps = append(c.pause.steps, again)
		}
		return false, errPaused
	default:
		return true, c.stop(a, Render(access.AsDenial(err)))
	}
}

// then adds a step behind those that stand still, if err says that something does.
func (c *Conn) then(err error, step func() error) error {
	if errors.Is(err, errPaused) {
		c.pause.steps = append(c.pause.steps, step)
	}
	return err
}

// Paused returns the exchange whose result stands still, or nil. The driver calls its Extend, without its lock, and then
// Resume.
func (c *Conn) Paused() *session.Exchange {
	if c.pause == nil {
		return nil
	}
	return c.pause.exchange
}

// Resume goes on where the server side stands still.
func (c *Conn) Resume() error {
	steps := c.pause.steps
	c.pause = nil
	for i, step := range steps {
		err := step()
		if errors.Is(err, errPaused) {
			c.pause.steps = append(c.pause.steps, steps[i+1:]...)
			return nil
		}
		if err != nil {
			return err
		}
	}
	p := c.held
	c.held = nil
	return c.FromServer(p)
}
