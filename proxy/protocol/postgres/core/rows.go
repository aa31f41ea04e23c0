package core

import (
	"encoding/binary"
	"fmt"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/mask"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/wire"
)

// maxHeldRow is the size, in bytes, up to which a row that must be masked is
// looked at whole. Of larger ones the masked values are redacted unseen.
const maxHeldRow = 1 << 20

// planOf returns the plan for the rows of the answer at the head.
func (c *Conn) planOf() (*answer, *rowPlan, error) {
	a := c.skipMaybe()
	if a == nil || a.exchange == nil || (a.owed != owedExecute && a.owed != owedQuery) {
		return nil, nil, broken("the server sent rows that nothing asked for")
	}
	if a.plan == nil {
		if a.owed == owedQuery {
			return nil, nil, broken("the server sent rows before their description")
		}
		if err := c.startResult(a, a.portal.fields); err != nil {
			return nil, nil, err
		}
		if !a.portal.described && c.mustAttest(a.stmts) {
			return nil, nil, broken("rows of a masked statement came without their description")
		}
	}
	if a.changed && !c.discarding {
		return a, a.plan, c.stop(a, definitionsChanged)
	}
	return a, a.plan, nil
}

// rows takes the run of whole DataRow messages at the beginning of p and returns
// its length; 0 if the first is not whole.
func (c *Conn) rows(p []byte) (used int, err error) {
	n := wholeRow(p)
	if n == 0 {
		return 0, nil
	}
	a, plan, err := c.planOf()
	if err != nil {
		return 0, err
	}
	if plan.passes() || c.discarding {
		count := int64(0)
		for ; n > 0; n = wholeRow(p[used:]) {
			used += n
			count++
		}
		if c.discarding {
			return used, nil
		}
		c.ToClient = append(c.ToClient, p[:used]...)
		return used, a.exchange.Take(count, int64(used), 0) // without a limit there is none to reach
	}
	for ; n > 0 && !c.discarding; n = wholeRow(p[used:]) {
		if err := c.oneRow(a, plan, p[used+wire.HeaderSize:used+n], nil); err != nil {
			return used, err
		}
		used += n
	}
	return used, nil
}

// wholeRow returns the length of the DataRow message at the beginning of p, or 0
// if there is none or it is not whole.
func wholeRow(p []byte) int {
	if len(p) < wire.HeaderSize || p[0] != 'D' {
		return 0
	}
	size := uint64(binary.BigEndian.Uint32(p[1:])) + 1
	if size < wire.HeaderSize || size > uint64(len(p)) {
		return 0
	}
	return int(size)
}

// oneRow masks, counts and records a row. With errPaused it has to be called again, which again does if it is not nil.
func (c *Conn) oneRow(a *answer, plan *rowPlan, body []byte, again func() error) error {
	at := len(c.ToClient)
	masked := 0
	if plan.masking {
		out, n, ok := plan.appendRow(c.ToClient, body)
		if !ok {
			return broken("the server sent a bad DataRow")
		}
		c.ToClient, masked = out, n
	} else {
		c.ToClient = wire.Message(c.ToClient, 'D', body)
	}
	end := len(c.ToClient)
	c.ToClient = c.ToClient[:at] // until it is known that it may go
	if stopped, err := c.take(a, 1, int64(end-at), int64(masked), again); err != nil || stopped {
		return err
	}
	c.ToClient = c.ToClient[:end]
	if plan.digest != nil {
		return c.digestRow(a, plan, c.ToClient[at+wire.HeaderSize:])
	}
	if plan.record {
		return c.recordRow(a, plan, c.ToClient[at+wire.HeaderSize:])
	}
	return nil
}

// appendRow appends body as a DataRow message with its values masked, and counts
// these.
func (p *rowPlan) appendRow(dst, body []byte) (out []byte, masked int, ok bool) {
	r := wire.Reader{Rest: body}
	if n := int(r.Int16()); n != len(p.masks) {
		return dst, 0, false
	}
	dst, at := wire.Begin(dst, 'D')
	dst = append(dst, body[:2]...)
	for i, m := range p.masks {
		size := r.Int32()
		if size < 0 {
			dst = append(dst, 0xff, 0xff, 0xff, 0xff)
			continue
		}
		v := r.Bytes(int(size))
		if m == nil {
			dst = append(binary.BigEndian.AppendUint32(dst, uint32(size)), v...)
			continue
		}
		dst = appendMasked(dst, v, m, p.formats[i])
		masked++
	}
	if !r.Done() {
		return dst[:at], 0, false
	}
	return wire.Finish(dst, at), masked, true
}

// appendMasked appends the length and the masked form of v.
func appendMasked(dst, v []byte, m mask.Masker, f mask.Format) []byte {
	at := len(dst)
	dst, null := m.Append(append(dst, 0, 0, 0, 0), v, f)
	if null {
		return append(dst[:at], 0xff, 0xff, 0xff, 0xff)
	}
	binary.BigEndian.PutUint32(dst[at:], uint32(len(dst)-at-4))
	return dst
}

// startRow decides how a row is taken in of which only the beginning is here.
func (c *Conn) startRow() error {
	f := &c.server
	a, plan, err := c.planOf()
	if err != nil {
		return err
	}
	switch {
	case c.discarding:
		f.treat = drop
	case f.left <= maxHeldRow && !plan.passes():
		f.treat = hold
	case plan.masking:
		f.treat, c.row = scan, rowScan{limit: c.set.MaxRow}
	default:
		return c.passRow(a, plan)
	}
	return nil
}

// passRow lets a row through that is not looked at.
func (c *Conn) passRow(a *answer, plan *rowPlan) error {
	f := &c.server
	stopped, err := c.take(a, 1, int64(f.left+wire.HeaderSize), 0, c.startRow)
	if stopped {
		f.treat = drop
	}
	if stopped || err != nil {
		return err
	}
	f.treat = pass
	c.ToClient = append(c.ToClient, f.header[:]...)
	if plan.record {
		return c.recordPassing(a, plan, f.left)
	}
	return nil
}

// heldRow handles a row that has been collected whole.
func (c *Conn) heldRow(body []byte) error {
	a, plan, err := c.planOf()
	if err != nil || c.discarding {
		return err
	}
	return c.oneRow(a, plan, body, func() error { return c.heldRow(body) })
}

// rowScan masks a row too large to be held: its masked values are redacted
// without being looked at, the others are kept up to a bound.
type rowScan struct {
	limit  int
	small  [4]byte
	have   int
	begun  bool // the column count was read
	column int
	left   int  // bytes of the value still to come
	inside bool // in a value
	masked int
	out    []byte
	over   bool // more must be kept than the bound allows
}

func (c *Conn) scanPart(p []byte) error {
	if c.server.kind == 'd' {
		return c.copyPart(p)
	}
	_, plan, err := c.planOf()
	if err != nil {
		return err
	}
	s := &c.row
	for len(p) > 0 {
		if s.inside {
			n := min(len(p), s.left)
			if plan.masks[s.column] == nil {
				s.keep(p[:n])
			}
			s.left -= n
			p = p[n:]
			s.endValue()
			continue
		}
		s.small[s.have] = p[0]
		s.have++
		p = p[1:]
		if !s.number(plan) {
			return broken("the server sent a bad DataRow")
		}
	}
	return nil
}

func (s *rowScan) keep(p []byte) {
	if len(s.out)+len(p) > s.limit {
		s.over = true
		return
	}
	s.out = append(s.out, p...)
}

func (s *rowScan) endValue() {
	if s.left == 0 {
		s.inside = false
		s.column++
	}
}

// number acts on an integer of the row once all its bytes are here.
func (s *rowScan) number(plan *rowPlan) bool {
	if !s.begun {
		if s.have < 2 {
			return true
		}
		s.begun, s.have = true, 0
		s.keep(s.small[:2])
		return int(binary.BigEndian.Uint16(s.small[:])) == len(plan.masks)
	}
	if s.have < 4 {
		return true
	}
	s.have = 0
	if s.column >= len(plan.masks) {
		return false
	}
	size := int32(binary.BigEndian.Uint32(s.small[:]))
	if size < 0 {
		s.keep(s.small[:])
		s.column++
		return true
	}
	s.left, s.inside = int(size), true
	if plan.masks[s.column] != nil {
		s.masked++
		s.keep(appendMasked(nil, nil, plan.full[s.column], plan.formats[s.column]))
	} else {
		s.keep(s.small[:])
	}
	s.endValue()
	return true
}

// scanEnd finishes a large row or a large piece of COPY data.
func (c *Conn) scanEnd() error {
	if c.server.kind == 'd' {
		return nil
	}
	a, plan, err := c.planOf()
	if err != nil {
		return err
	}
	s := &c.row
	if s.inside || s.have != 0 || s.column != len(plan.masks) {
		return broken("the server sent a bad DataRow")
	}
	if s.over {
		c.row = rowScan{}
		return c.stop(a, &wire.Error{
			Severity: "ERROR", Code: "54000",
			Message: fmt.Sprintf("tidewaiter: a row has more than %d MiB beside its masked values, which is more than is kept to mask it", s.limit>>20),
			Hint:    "Select the masked columns and the large ones in different statements.",
		})
	}
	if stopped, err := c.take(a, 1, int64(wire.HeaderSize+len(s.out)), int64(s.masked), c.scanEnd); err != nil {
		return err
	} else if stopped {
		c.row = rowScan{}
		return nil
	}
	c.ToClient = wire.Message(c.ToClient, 'D', s.out)
	size, out := int64(len(s.out)), s.out
	c.row = rowScan{}
	if plan.digest != nil {
		return c.digestRow(a, plan, out)
	}
	if plan.record {
		return c.addRow(a, plan, []access.Value{{Size: size}})
	}
	return nil
}
