package core

import (
	"github.com/tidewaiter/tidewaiter/proxy/mask"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/analysis"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/wire"
)

// watch looks for placeholders in the data of one COPY FROM STDIN.
type watch struct {
	data  *mask.CopyWatch // nil: there is nothing to look for
	copy  *analysis.Copy
	table string
	index int // which of the answer's statements it is
}

// copyFor returns the answer whose COPY takes the client's data, or will, with its
// watch; nil where there is none.
func (c *Conn) copyFor() *answer {
	for i := c.owe.first; i < len(c.owe.items); i++ {
		a := c.owe.items[i]
		from := a.index
		if c.copyIn && c.copyEnded && i == c.owe.first {
			from++
		}
		for j := from; j < len(a.stmts); j++ {
			if cp := a.stmts[j].Copy; cp != nil && !cp.Out {
				if a.watch == nil || a.watch.index != j {
					a.watch = c.watchOf(a, j)
				}
				return a
			}
		}
	}
	return nil
}

func (c *Conn) watchOf(a *answer, index int) *watch {
	st := &a.stmts[index]
	w := &watch{copy: st.Copy, index: index}
	for _, r := range st.Resources {
		w.table = r.Schema + "." + r.Name
	}
	if a.exchange == nil {
		return w
	}
	columns := make([]*mask.Recognizer, len(st.Copy.Columns))
	any := false
	for i, col := range st.Copy.Columns {
		if len(col.Tags) > 0 {
			columns[i] = c.recognizer(col.Tags, col.TypeOID, a.exchange.Decision().Masks)
			any = any || columns[i] != nil
		}
	}
	if any {
		w.data = mask.NewCopyWatch(copyFormat(st.Copy), columns)
	}
	return w
}

// copyData forwards a piece of COPY data, and looks at it.
func (c *Conn) copyData(part []byte) error {
	if a := c.copyFor(); a != nil && a.watch.data != nil && a.refusal == nil {
		c.foundInCopy(a, a.watch.data.See(part))
	}
	return c.forward(part)
}

// foundInCopy refuses a COPY in which a placeholder was found. The server ends it as
// if the client had given up, which takes back all of its rows.
func (c *Conn) foundInCopy(a *answer, column int) {
	if column < 0 {
		return
	}
	d := placeholderDenial(a.watch.table + "." + a.watch.copy.Columns[column].Name)
	d.Detail = "The column is masked for this workload. What was read from it is not its value, and writing that back would destroy the value. No row of the COPY was kept."
	d.Hint = "Leave the column out of the COPY's list, or give values of your own."
	a.refusal = Render(d)
}

// failCopy ends a COPY that was refused, between two messages of the client.
func (c *Conn) failCopy(a *answer) error {
	a.failed = true
	if c.copyIn {
		c.copyEnded = true
	}
	c.owe.push(&answer{owed: owedCopyEnd})
	return c.forward(wire.Message(nil, 'f', []byte("tidewaiter refused this COPY\x00")))
}

// copyDataEnds fails a COPY whose data was refused, once the message is whole.
func (c *Conn) copyDataEnds() error {
	if a := c.copyFor(); a != nil && a.refusal != nil && !a.failed {
		return c.failCopy(a)
	}
	return nil
}

// copyRefused reports whether what the client still sends is for a COPY that has
// been ended.
func (c *Conn) copyRefused() bool {
	a := c.copyFor()
	return a != nil && a.failed
}
