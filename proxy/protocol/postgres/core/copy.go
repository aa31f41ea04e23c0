package core

import (
	"errors"
	"slices"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/mask"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/analysis"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/wire"
	"github.com/tidewaiter/tidewaiter/proxy/session"
)

// copyPlan says what happens to the data of a COPY TO STDOUT.
type copyPlan struct {
	masker *mask.CopyMasker // nil: passes
	binary bool
	record bool
	header bool    // the next message is the line of names, if no masker counts rows
	silent bool    // of what is recorded only the size is: it may repeat constants that the recording does not keep
	rows   rowPlan // batches what is recorded
}

// copyPlan compiles what happens to the values of a COPY. Where the analysis does
// not know the columns, every value may carry what the statement may.
func (c *Conn) copyPlan(st *analysis.Statement, columns int, masks *map[string]access.Mask, hides bool) *copyPlan {
	p := &copyPlan{record: c.set.RecordRows || c.set.DigestRows}
	p.rows.digest = c.digest()
	p.silent = hides && (st == nil || st.Copy == nil || len(st.Copy.Columns) == 0 ||
		slices.ContainsFunc(st.Copy.Columns, func(col analysis.CopyColumn) bool { return col.RelOID == 0 || col.Num <= 0 || col.Derived }))
	p.rows.fields = []wire.Field{{Name: "COPY data", Type: 25}}
	if st != nil && st.Copy != nil {
		p.binary, p.header = st.Copy.Format == "binary", st.Copy.Header
	}
	if st == nil || st.Copy == nil || !st.Touches {
		if c.catalog.AnyTagged() && (st == nil || st.Copy == nil) {
			p.masker = mask.NewCopyMasker(mask.CopyFormat{Kind: mask.CopyText, Delimiter: '\t', Null: `\N`}, c.maskAll(columns))
		}
		return p
	}
	cp := st.Copy
	cols := make([]mask.Masker, columns)
	any := false
	for i := range cols {
		tags, derived, typeOID, shape := st.Derived, true, uint32(0), (*analysis.Shape)(nil)
		if len(cp.Columns) == columns {
			col := &cp.Columns[i]
			tags, derived, typeOID, shape = col.Tags, col.Derived, col.TypeOID, col.Shape
		}
		if len(tags) > 0 {
			cols[i] = c.masker(tags, derived, typeOID, *masks)
			if shape != nil && cols[i] != nil {
				cols[i] = c.structured(shape, nil, *masks)
			}
			any = any || cols[i] != nil
		}
	}
	if any {
		p.masker = mask.NewCopyMasker(copyFormat(cp), cols)
	}
	return p
}

func (c *Conn) maskAll(columns int) []mask.Masker {
	out := make([]mask.Masker, columns)
	for i := range out {
		out[i] = mask.Full(nil, mask.Spec{})
	}
	return out
}

func copyFormat(cp *analysis.Copy) mask.CopyFormat {
	f := mask.CopyFormat{Kind: mask.CopyText, Delimiter: cp.Delimiter, Quote: cp.Quote, Escape: cp.Escape, Null: cp.Null, Header: cp.Header, ForceQuoteAll: cp.ForceQuoteAll}
	switch cp.Format {
	case "csv":
		f.Kind = mask.CopyCSV
	case "binary":
		f.Kind = mask.CopyBinary
	}
	return f
}

// copyTrailer ends COPY data in binary format. The server sends it as a message of its own (copyto.c), and sends the
// format's header together with the first row.
const copyTrailer = "\xff\xff"

// startCopyData decides how a piece of COPY data of the server is taken in.
func (c *Conn) startCopyData() error {
	f := &c.server
	a := c.skipMaybe()
	if a == nil || a.copying == nil {
		return broken("the server sent COPY data that nothing asked for")
	}
	if a.changed && !c.discarding {
		if err := c.stop(a, definitionsChanged); err != nil {
			return err
		}
	}
	if c.discarding {
		f.treat = drop
		return nil
	}
	if a.copying.masker != nil {
		f.treat = scan
		return nil
	}
	rows := int64(1) // the server sends each by itself
	if a.copying.header || a.copying.binary && f.left == len(copyTrailer) {
		rows = 0
	}
	stopped, err := c.take(a, rows, int64(f.left+wire.HeaderSize), 0, c.startCopyData)
	if stopped {
		f.treat = drop
	}
	if stopped || err != nil {
		return err
	}
	a.copying.header = false
	if a.copying.record && f.left <= maxHeldRow {
		f.treat = hold // see serverMessage
		return nil
	}
	f.treat = pass
	c.ToClient = append(c.ToClient, f.header[:]...)
	if a.copying.record {
		a.plan = &a.copying.rows
		return c.recordPassing(a, a.plan, f.left)
	}
	return nil
}

// heldCopyData passes on and records a piece of COPY data that needs no mask.
func (c *Conn) heldCopyData(body []byte) error {
	a := c.owe.head()
	c.ToClient = wire.Message(c.ToClient, 'd', body)
	return c.recordCopy(a, body)
}

// copyPart masks the next bytes of COPY data. Messages need not end where rows do;
// what comes out of one piece goes on as one message.
func (c *Conn) copyPart(p []byte) error {
	a := c.owe.head()
	if c.discarding {
		return nil
	}
	m := a.copying.masker
	rows, masked := m.Rows(), m.Masked()
	at := len(c.ToClient)
	dst, start := wire.Begin(c.ToClient, 'd')
	dst, err := m.Append(dst, p)
	if err != nil {
		return c.copyUnreadable(a, at, err)
	}
	return c.copyOut(a, dst, start, m.Rows()-rows, m.Masked()-masked)
}

// copyOut sends what a masker has put behind start, if anything.
func (c *Conn) copyOut(a *answer, dst []byte, start int, rows, masked int64) error {
	c.ToClient = dst[:start]
	if len(dst) == start+wire.HeaderSize {
		return nil
	}
	out := dst[start+wire.HeaderSize:]
	err := a.exchange.Take(rows, int64(len(dst)-start), masked)
	if errors.Is(err, session.ErrPause) { // the masker has gone on: what it made is kept
		out = slices.Clone(out)
		c.pause = &pause{exchange: a.exchange, steps: []func() error{func() error {
			dst, start := wire.Begin(c.ToClient, 'd')
			return c.copyOut(a, append(dst, out...), start, rows, masked)
		}}}
		return errPaused
	}
	if err != nil {
		return c.stop(a, Render(access.AsDenial(err)))
	}
	c.ToClient = wire.Finish(dst, start)
	return c.recordCopy(a, out)
}

// copyOutEnds handles CopyDone of the server.
func (c *Conn) copyOutEnds(a *answer, body []byte) error {
	if a.copying == nil {
		return broken("the server ended a COPY that had not begun")
	}
	if m := a.copying.masker; m != nil && !c.discarding {
		rows, masked := m.Rows(), m.Masked()
		at := len(c.ToClient)
		dst, start := wire.Begin(c.ToClient, 'd')
		dst, err := m.Finish(dst)
		if err != nil {
			return c.copyUnreadable(a, at, err)
		}
		if err := c.copyOut(a, dst, start, m.Rows()-rows, m.Masked()-masked); err != nil {
			return c.then(err, func() error { return c.copyOutEnded(a, body) })
		}
	}
	return c.copyOutEnded(a, body)
}

func (c *Conn) copyOutEnded(a *answer, body []byte) error {
	c.send(a, 'c', body)
	a.plan = &a.copying.rows // so that what waits is recorded with the end
	return nil
}

func (c *Conn) copyUnreadable(a *answer, at int, err error) error {
	c.ToClient = c.ToClient[:at]
	return c.stop(a, &wire.Error{
		Severity: "ERROR", Code: "42501", Message: "tidewaiter: the COPY was stopped, because its data could not be masked",
		Detail: err.Error(), Hint: "Use a SELECT instead.",
	})
}

func (c *Conn) recordCopy(a *answer, data []byte) error {
	p := a.copying
	if !p.record {
		return nil
	}
	if p.rows.digest != nil {
		a.plan = &p.rows
		return c.digestRow(a, a.plan, data)
	}
	f := wire.Field{Type: 25}
	if p.binary {
		f = wire.Field{Format: 1}
	}
	a.plan = &p.rows
	v := recorded(data, f)
	if v.Masked = p.masker != nil; p.silent {
		v = access.Value{Masked: true, Size: int64(len(data))}
	}
	return c.addRow(a, &p.rows, []access.Value{v})
}
