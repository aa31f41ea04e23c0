// Package finding is one thing that was looked at, how it stands, and what to do.
//
// It must not know what was looked at, or how.
package finding

import (
	"fmt"
	"strings"

	"github.com/tidewaiter/tidewaiter/plugin/table"
)

// Level of a finding. Treat a value that is not listed as Fail.
type Level string

// Levels.
const (
	// OK needs nothing.
	OK Level = "ok"
	// Warn deserves a look.
	Warn Level = "warn"
	// Fail means that something is not protected, or does not work.
	Fail Level = "FAIL"
)

// Finding is one thing that was looked at.
type Finding struct {
	// Level says how bad it is.
	Level Level `json:"level"`
	// About says of what, such as "pod" or "AccessPolicy data/reporting".
	About string `json:"about"`
	// Text for people.
	Text string `json:"text"`
	// Cure says what to do; empty where nothing is to be done.
	Cure string `json:"cure,omitempty"`
}

// Write prints the finding, and below it the cure, if that is asked for.
func (f *Finding) Write(b *strings.Builder, indent string, cure, color bool) {
	styles := map[Level]table.Style{OK: table.Good, Warn: table.Attention}
	style, known := styles[f.Level]
	if !known {
		style = table.Bad
	}
	fmt.Fprintf(b, "%s%s  %s: %s\n", indent, table.Paint(fmt.Sprintf("%-4s", f.Level), style, color), table.Line(f.About), table.Line(f.Text))
	if cure && f.Cure != "" {
		fmt.Fprintf(b, "%s      %s\n", indent, table.Line(f.Cure))
	}
}
