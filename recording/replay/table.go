package replay

import (
	"encoding/hex"
	"strings"
	"unicode/utf8"

	"github.com/tidewaiter/tidewaiter/proxy/access"
)

// What a table shows at most.
const (
	maxTables  = 8
	maxColumns = 32
	maxCell    = 48 // characters
)

// tables are the results of a statement, as far as they are shown.
type tables struct {
	list []table
	kept int   // rows, of all
	more int64 // rows that were recorded and are not shown
}

// table is one result: the first line is its heading where it has one.
type table struct {
	headed bool
	lines  [][]string
	wide   int // columns beyond maxColumns
}

// add keeps a batch as far as n rows in all allow.
func (t *tables) add(r *access.Rows, n int) {
	if len(t.list) == maxTables && len(r.Columns) > 0 {
		t.more += int64(len(r.Values))
		return
	}
	if len(r.Columns) > 0 || len(t.list) == 0 {
		t.list = append(t.list, table{headed: len(r.Columns) > 0})
		if len(r.Columns) > 0 {
			t.list[len(t.list)-1].head(r.Columns)
		}
	}
	last := &t.list[len(t.list)-1]
	for _, row := range r.Values {
		if t.kept >= n {
			t.more++
			continue
		}
		t.kept++
		last.row(row)
	}
}

func (t *table) head(columns []access.Column) {
	line := make([]string, 0, min(len(columns), maxColumns))
	for i := range columns[:min(len(columns), maxColumns)] {
		c := &columns[i]
		name := visible(c.Name, maxCell)
		if c.Masked != "" {
			name += " (" + visible(c.Masked, 20) + ")"
		}
		line = append(line, name)
	}
	t.wide = len(columns) - len(line)
	t.lines = append(t.lines, line)
}

func (t *table) row(values []access.Value) {
	line := make([]string, 0, min(len(values), maxColumns))
	for i := range values[:min(len(values), maxColumns)] {
		line = append(line, cell(&values[i]))
	}
	t.wide = max(t.wide, len(values)-len(line))
	t.lines = append(t.lines, line)
}

// cell shows a value as the client saw it, on one line.
func cell(v *access.Value) string {
	switch {
	case v.Null:
		return "(null)"
	case v.Masked && v.Text == "" && len(v.Binary) == 0:
		return "*****"
	}
	var text string
	if len(v.Binary) > 0 {
		text = visible(`\x`+hex.EncodeToString(v.Binary[:min(len(v.Binary), maxCell)]), maxCell)
	} else {
		text = visible(v.Text, maxCell)
	}
	if v.Size > 0 {
		text += " (" + size(v.Size) + ")"
	}
	return text
}

// printTables prints the results, their columns aligned.
func (p *replayer) printTables(t *tables) {
	for i := range t.list {
		p.printTable(&t.list[i])
	}
	if t.more > 0 {
		p.beneath(faint, "… "+plural(t.more, "more row")+" recorded")
	}
}

func (p *replayer) printTable(t *table) {
	widths := t.widths()
	for i, line := range t.lines {
		var b strings.Builder
		for c, text := range line {
			b.WriteString(pad(text, widths[c]) + "   ")
		}
		text := strings.TrimRight(b.String(), " ")
		if room := p.Width - len(indent); utf8.RuneCountInString(text) > room {
			text = firstRunes(text, room-1) + "…"
		}
		if i == 0 && t.headed {
			p.beneath(faint, text)
		} else {
			p.beneath(plainly, text)
		}
	}
	if t.wide > 0 {
		p.beneath(faint, "… "+plural(int64(t.wide), "more column"))
	}
}

func (t *table) widths() []int {
	var widths []int
	for _, line := range t.lines {
		for c, text := range line {
			if c == len(widths) {
				widths = append(widths, 0)
			}
			widths[c] = max(widths[c], utf8.RuneCountInString(text))
		}
	}
	return widths
}
