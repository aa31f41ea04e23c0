// Package table is how the plugin's answers look: aligned columns, numbers with separators, times in UTC that say so, colors where
// there is a terminal, and a table that is drawn again in place while it is watched.
//
// It must not know Tidewaiter's kinds, clients or flags.
package table

import (
	"io"
	"strings"
)

// Style is a color of a cell. The zero value is none.
type Style int

// Styles, by what they tell.
const (
	Plain Style = iota
	// Good is green.
	Good
	// Attention is yellow.
	Attention
	// Bad is red.
	Bad
	// Faint is grey.
	Faint
	// Strong is bold.
	Strong
)

var codes = map[Style]string{Good: "\x1b[32m", Attention: "\x1b[33m", Bad: "\x1b[31m", Faint: "\x1b[2m", Strong: "\x1b[1m"}

const reset = "\x1b[0m"

// Paint returns text in a style, where color says so.
func Paint(text string, style Style, color bool) string {
	if code := codes[style]; color && code != "" && text != "" {
		return code + text + reset
	}
	return text
}

// Column is a heading and how its cells stand.
type Column struct {
	// Name is the heading.
	Name string
	// Right aligns numbers.
	Right bool
	// Max is the most characters of a cell, 0 for all.
	Max int
	// Shrink lets the column become narrower where the terminal is.
	Shrink bool
}

// Cell is one text of a row.
type Cell struct {
	// Text may be anything: it is made one printable line.
	Text string
	// Style is its color.
	Style Style
}

// Table is columns and rows; a row has a cell for each column.
type Table struct {
	// Columns from left to right.
	Columns []Column
	// Rows from top to bottom.
	Rows [][]Cell
}

// gap is how far columns are apart, as kubectl's are.
const gap = "   "

// Lines draws the table, heading first. Width is that of the terminal, and longer lines are clipped; 0 for no bound.
func (t *Table) Lines(width int, color bool) []string {
	widths := t.widths()
	t.shrink(widths, width)
	heading := make([]Cell, len(t.Columns))
	for i, c := range t.Columns {
		heading[i] = Cell{Text: c.Name, Style: Strong}
	}
	lines := []string{t.line(heading, widths, width, color)}
	for _, row := range t.Rows {
		lines = append(lines, t.line(row, widths, width, color))
	}
	return lines
}

// Write writes the whole table.
func (t *Table) Write(w io.Writer, color bool) error {
	_, err := io.WriteString(w, strings.Join(t.Lines(0, color), "\n")+"\n")
	return err
}

func (t *Table) widths() []int {
	widths := make([]int, len(t.Columns))
	for i, c := range t.Columns {
		widths[i] = Width(c.Name)
	}
	for _, row := range t.Rows {
		for i, cell := range row {
			widths[i] = max(widths[i], Width(Clip(Line(cell.Text), t.Columns[i].Max)))
		}
	}
	return widths
}

// shrunk is the least width of a column that shrinks.
const shrunk = 12

// shrink takes from the columns that allow it what the terminal is too narrow for.
func (t *Table) shrink(widths []int, width int) {
	over := len(gap)*(len(widths)-1) - width
	for _, w := range widths {
		over += w
	}
	for i, c := range t.Columns {
		if take := min(over, widths[i]-shrunk); width > 0 && c.Shrink && take > 0 {
			widths[i] -= take
			over -= take
		}
	}
}

// line draws one row, and stops where the terminal ends: a line that wrapped would break what is drawn in place.
func (t *Table) line(row []Cell, widths []int, width int, color bool) string {
	var b strings.Builder
	used := 0
	for i, cell := range row {
		text := Clip(Line(cell.Text), widths[i])
		pad := strings.Repeat(" ", widths[i]-Width(text))
		before, after := "", pad
		if t.Columns[i].Right {
			before, after = pad, ""
		}
		if i > 0 {
			before = gap + before
		}
		if i == len(row)-1 {
			after = ""
		}
		if width > 0 && used+len(before)+Width(text) > width {
			if rest := width - used - len(before); rest > 0 {
				b.WriteString(before + Paint(Clip(text, rest), cell.Style, color))
			}
			break
		}
		used += len(before) + Width(text) + len(after)
		b.WriteString(before + Paint(text, cell.Style, color) + after)
	}
	return strings.TrimRight(b.String(), " ")
}
