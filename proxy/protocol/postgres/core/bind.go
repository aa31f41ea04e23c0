package core

import (
	"encoding/binary"
	"hash/maphash"

	"github.com/tidewaiter/tidewaiter/proxy/access"
)

const (
	maxNames      = 8 << 10  // bytes of portal and statement name in a Bind
	maxParameter  = 4 << 10  // bytes of one parameter kept for the recording
	maxParameters = 64 << 10 // bytes of all parameters of a Bind kept for it
)

// bindScan reads a Bind message as its bytes arrive, however they are cut, since
// a parameter can be as large as 1 GB and the result formats come after it.
type bindScan struct {
	names  []byte // portal and statement name, each with its zero
	zeros  int
	small  [4]byte
	have   int
	step   bindStep
	count  int // formats, parameters or result formats still to come
	index  int // which parameter
	skip   int // bytes of the parameter still to come
	kept   int
	broken bool

	digest     maphash.Hash // of everything behind the names
	written    *parameters  // what goes into tagged columns; nil: nothing
	formats    []int16
	parameters []access.Value
	results    []int16
}

type bindStep uint8

const (
	bindNames bindStep = iota
	bindFormatCount
	bindFormat
	bindParameterCount
	bindParameterSize
	bindParameter
	bindResultCount
	bindResult
	bindDone
)

// bindSeed keys the digests of what is bound. It is made anew in every process and
// never shown, so that a digest tells nothing of a value, and nobody can make two
// values that count as one.
var bindSeed = maphash.MakeSeed()

func newBindScan() *bindScan {
	b := &bindScan{}
	b.digest.SetSeed(bindSeed)
	return b
}

// feed takes the next bytes and returns how many belong to the names, when these
// end in p; the caller decides there whether the message may go on.
func (b *bindScan) feed(p []byte) (used int, named bool) {
	for used < len(p) && !b.broken {
		if b.step == bindNames {
			used++
			if b.name(p[used-1]) {
				return used, true
			}
			continue
		}
		if b.step == bindParameter {
			used += b.parameter(p[used:])
			continue
		}
		used++
		b.number(p[used-1])
	}
	return len(p), false
}

func (b *bindScan) name(c byte) (complete bool) {
	if len(b.names) == maxNames {
		b.broken = true
		return false
	}
	b.names = append(b.names, c)
	if c != 0 {
		return false
	}
	b.zeros++
	if b.zeros == 2 {
		b.step = bindFormatCount
		return true
	}
	return false
}

// target returns the portal's and the statement's name.
func (b *bindScan) target() (portal, statement string) {
	for i, c := range b.names {
		if c == 0 {
			return string(b.names[:i]), string(b.names[i+1 : len(b.names)-1])
		}
	}
	return "", ""
}

// number collects the bytes of the next integer and acts on it once it is whole.
func (b *bindScan) number(c byte) {
	b.small[b.have] = c
	b.have++
	size := 2
	if b.step == bindParameterSize {
		size = 4
	}
	if b.step == bindDone {
		b.broken = true // bytes behind the message's end
		return
	}
	if b.have < size {
		return
	}
	b.have = 0
	if size == 4 {
		b.startParameter(int32(binary.BigEndian.Uint32(b.small[:])))
		return
	}
	b.short(int16(binary.BigEndian.Uint16(b.small[:])))
}

func (b *bindScan) short(v int16) {
	n := int(uint16(v)) // counts are unsigned on the wire (up to 65535 parameters)
	switch b.step {
	case bindFormatCount:
		b.count, b.step = n, bindFormat
	case bindFormat:
		b.formats = append(b.formats, v)
		b.count--
	case bindParameterCount:
		b.count, b.step = n, bindParameterSize
	case bindResultCount:
		b.count, b.step = n, bindResult
	case bindResult:
		b.results = append(b.results, v)
		b.count--
	}
	b.settle()
}

// settle moves on from lists that have ended.
func (b *bindScan) settle() {
	if b.count > 0 {
		return
	}
	switch b.step {
	case bindFormat:
		b.step = bindParameterCount
	case bindParameterSize:
		b.step = bindResultCount
	case bindResult:
		b.step = bindDone
	}
}

func (b *bindScan) startParameter(size int32) {
	v := access.Value{}
	switch {
	case size == -1:
		v.Null = true
	case size < 0:
		b.broken = true
	}
	if b.kept < maxParameters {
		b.parameters = append(b.parameters, v)
	}
	b.skip = int(max(size, 0))
	b.written.start(b.index, b.skip)
	b.step = bindParameter
	if b.skip == 0 {
		b.endParameter()
	}
}

func (b *bindScan) parameter(p []byte) int {
	n := min(len(p), b.skip)
	b.skip -= n
	b.written.take(p[:n])
	if b.index < len(b.parameters) {
		v := &b.parameters[b.index]
		v.Size += int64(n)
		room := min(maxParameter-len(v.Binary), maxParameters-b.kept, n)
		if room > 0 {
			v.Binary = append(v.Binary, p[:room]...)
			b.kept += room
		}
	}
	if b.skip == 0 {
		b.endParameter()
	}
	return n
}

// endParameter turns what was kept into the value that a recording shows.
func (b *bindScan) endParameter() {
	if b.index < len(b.parameters) {
		v := &b.parameters[b.index]
		if int64(len(v.Binary)) == v.Size {
			v.Size = 0
		}
		if formatOf(b.formats, b.index) == 0 {
			v.Text, v.Binary = string(v.Binary), nil
		}
	}
	b.written.end(formatOf(b.formats, b.index))
	b.index++
	b.count--
	b.step = bindParameterSize
	b.settle()
}

// complete reports whether the message was whole and well formed.
func (b *bindScan) complete() bool { return b.step == bindDone && !b.broken && b.have == 0 }

// formatOf returns the format code of the i-th value: none means text, one means
// the same for all.
func formatOf(codes []int16, i int) int16 {
	switch {
	case len(codes) == 0:
		return 0
	case len(codes) == 1:
		return codes[0]
	case i < len(codes):
		return codes[i]
	default:
		return 0
	}
}

// bindEnd registers the portal that a Bind made.
func (c *Conn) bindEnd() error {
	b := c.bind
	c.bind = nil
	if b.step == bindNames {
		return broken("invalid Bind message")
	}
	if c.skipping { // an error has come while it was on its way: the server skips it
		return nil
	}
	name, statement := b.target()
	a := &answer{owed: owedBind}
	of := c.names.statement(statement)
	a.stmts = merged(of)
	if b.complete() {
		c.names.clock++
		p := &portal{
			name: name, of: of, stmts: a.stmts, params: b.parameters, formats: b.results, bound: b.digest.Sum64(), written: b.written,
			born: c.names.clock, catalog: c.catalog,
		}
		if old := c.names.portals[name]; old != nil {
			old.end()
		}
		a.portal, a.stays = p, c.names.open(name) == nil // in a failed transaction it is there, and cannot run
		a.undo, a.did = c.names.bind(p)
	}
	c.touch(a.stmts)
	c.push(a)
	return nil
}
