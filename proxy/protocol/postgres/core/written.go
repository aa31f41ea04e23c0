package core

import (
	"fmt"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/mask"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/analysis"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/masktype"
	"github.com/tidewaiter/tidewaiter/proxy/session"
)

// Bounds, in bytes, of the parameters that are kept to be compared with
// placeholders.
const (
	maxWritten    = 1 << 10 // of one: a longer one is no placeholder
	maxAllWritten = 4 << 20 // of all of a Bind
)

// parameters are the values of a Bind that may go into tagged columns. A nil one
// keeps nothing.
type parameters struct {
	wanted map[int]bool // by index, from 0
	values map[int]parameter
	size   int
	over   bool // some were not kept

	at   int // the index of the one that is coming; -1: not wanted
	next []byte
}

type parameter struct {
	value  []byte
	format mask.Format
}

// parametersOf returns what keeps the parameters that these statements put into
// tagged columns, or nil.
func parametersOf(all []*prepared) *parameters {
	var wanted map[int]bool
	for _, p := range all {
		for i := range p.stmts {
			for j := range p.stmts[i].Assigned {
				if n := p.stmts[i].Assigned[j].Param; n > 0 {
					if wanted == nil {
						wanted = map[int]bool{}
					}
					wanted[n-1] = true
				}
			}
		}
	}
	if wanted == nil {
		return nil
	}
	return &parameters{wanted: wanted, values: map[int]parameter{}, at: -1}
}

// start begins a parameter of that many bytes.
func (p *parameters) start(index, size int) {
	if p == nil {
		return
	}
	p.at = -1
	if !p.wanted[index] || size > maxWritten || size == 0 {
		return
	}
	if p.size += size; p.size > maxAllWritten {
		p.over = true
		return
	}
	p.at, p.next = index, make([]byte, 0, size)
}

func (p *parameters) take(part []byte) {
	if p != nil && p.at >= 0 {
		p.next = append(p.next, part...)
	}
}

func (p *parameters) end(format int16) {
	if p != nil && p.at >= 0 {
		p.values[p.at] = parameter{p.next, mask.Format(format)}
		p.at, p.next = -1, nil
	}
}

// writtenBack returns the refusal of a statement that would write a mask's
// placeholder over the values that it stands for: whoever has only seen the mask
// cannot mean it. nil: it would not.
func (c *Conn) writtenBack(a *Ask, x *session.Exchange, stmts []analysis.Statement) *access.Denial {
	masks := x.Decision().Masks
	known := map[uint32]map[string]*mask.Recognizer{}
	for i := range stmts {
		for j := range stmts[i].Assigned {
			as := &stmts[i].Assigned[j]
			r := c.placeholders(known, as, masks)
			if r == nil {
				continue
			}
			if as.Param == 0 {
				if r.Is([]byte(as.Constant), mask.Text) {
					return placeholderDenial(as.Where())
				}
				continue
			}
			if a.portal == nil || a.portal.written == nil {
				continue
			}
			if v, ok := a.portal.written.values[as.Param-1]; ok && r.Is(v.value, v.format) {
				return placeholderDenial(as.Where())
			}
			if a.portal.written.over {
				return &access.Denial{
					Code: access.CodeTooComplex, What: "tidewaiter: the statement has too many parameters for masked columns to look at each, so it was refused",
					Hint: "Write fewer rows at a time.",
				}
			}
		}
	}
	return nil
}

// placeholders returns what recognizes the placeholders of a column, by its type and
// tags: statements have many values for one column.
func (c *Conn) placeholders(known map[uint32]map[string]*mask.Recognizer, as *analysis.Assignment, masks map[string]access.Mask) *mask.Recognizer {
	byColumn := known[as.TypeOID]
	if byColumn == nil {
		byColumn = map[string]*mask.Recognizer{}
		known[as.TypeOID] = byColumn
	}
	where := as.Where()
	r, ok := byColumn[where]
	if !ok {
		r = c.recognizer(as.Tags, as.TypeOID, masks)
		byColumn[where] = r
	}
	return r
}

func (c *Conn) recognizer(tags []string, typeOID uint32, masks map[string]access.Mask) *mask.Recognizer {
	return mask.Placeholders(masktype.Of(c.catalog, typeOID), c.strictest(tags, masks))
}

// placeholderDenial names the column, which is no secret, and not the value.
func placeholderDenial(column string) *access.Denial {
	return &access.Denial{
		What:   fmt.Sprintf("tidewaiter: the value for %s is the placeholder that its mask shows, so it was not written", column),
		Detail: "The column is masked for this workload. What was read from it is not its value, and writing that back would destroy the value. Nothing was sent to the server.",
		Hint:   "Leave the column out of the SET list, or of the columns to insert; to change it, give a value of your own.",
	}
}
