package verify

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/tidewaiter/tidewaiter/plugin/table"
	"github.com/tidewaiter/tidewaiter/recording/audit"
)

// Report is what a run has found.
type Report struct {
	Summary  audit.Summary   `json:"summary"`
	Findings []audit.Finding `json:"findings"`
	// Logged says that the log was read, and not files alone.
	Logged bool `json:"logged"`
}

// ExitCode is 0 where all is verified, 2 where something was tampered with, 3 where something is incomplete.
func (r *Report) ExitCode() int {
	switch {
	case r.Summary.Tampered > 0:
		return 2
	case r.Summary.Incomplete > 0:
		return 3
	default:
		return 0
	}
}

var order = []audit.Severity{audit.Tampered, audit.Incomplete, audit.Note}

// Sort puts the worst first, then by pod, session and place.
func (r *Report) Sort() {
	slices.SortStableFunc(r.Findings, func(a, b audit.Finding) int {
		return cmp.Or(cmp.Compare(slices.Index(order, a.Severity), slices.Index(order, b.Severity)), strings.Compare(a.Pod, b.Pod), strings.Compare(a.Session, b.Session),
			cmp.Compare(a.Segment, b.Segment), cmp.Compare(a.Record, b.Record), strings.Compare(string(a.Code), string(b.Code)), strings.Compare(a.What, b.What))
	})
}

// Write prints the findings, each with what most likely did it, and a line of sums.
func (r *Report) Write(w io.Writer, color bool) error {
	var b strings.Builder
	styles := map[audit.Severity]table.Style{audit.Tampered: table.Bad, audit.Incomplete: table.Attention, audit.Note: table.Faint}
	if len(r.Findings) > 0 {
		t := &table.Table{Columns: []table.Column{{Name: "SEVERITY"}, {Name: "FINDING"}, {Name: "WHERE", Max: 100}, {Name: "WHAT"}}}
		for _, g := range r.groups() {
			f := &g[0]
			where := place(f)
			if len(g) > 1 {
				where = fmt.Sprintf("pod %s, %s in all, the first: session %s", f.Pod, table.Count(int64(len(g)), "place"), f.Session)
			}
			t.Rows = append(t.Rows, []table.Cell{{Text: string(f.Severity), Style: styles[f.Severity]}, {Text: string(f.Code)}, {Text: where}, {Text: f.What}})
		}
		b.WriteString(strings.Join(t.Lines(0, color), "\n") + "\n\n")
		r.causes(&b, color)
	}
	if n := r.Summary.Tampered + r.Summary.Incomplete + r.Summary.Notes - int64(len(r.Findings)); n > 0 {
		fmt.Fprintf(&b, "… and %s that %s not shown\n", table.Count(n, "finding"), map[bool]string{true: "is", false: "are"}[n == 1])
	}
	b.WriteString(r.closing(color) + "\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// fewNotes is how many notes of one kind are shown each by itself.
const fewNotes = 3

// groups are the findings as they are shown: each by itself, but for notes of one kind of one pod, where there are many. They are
// all in the JSON.
func (r *Report) groups() [][]audit.Finding {
	type kind struct {
		pod  string
		code audit.Code
	}
	counts, at := map[kind]int{}, map[kind]int{}
	for i := range r.Findings {
		counts[kind{r.Findings[i].Pod, r.Findings[i].Code}]++
	}
	var out [][]audit.Finding
	for i := range r.Findings {
		f := &r.Findings[i]
		k := kind{f.Pod, f.Code}
		many := f.Severity == audit.Note && f.Pod != "" && f.Session != "" && counts[k] > fewNotes
		if n, shown := at[k]; many && shown {
			out[n] = append(out[n], *f)
			continue
		}
		at[k] = len(out)
		out = append(out, []audit.Finding{*f})
	}
	return out
}

// causes says once for each kind of finding what most likely did it.
func (r *Report) causes(b *strings.Builder, color bool) {
	said := map[string]bool{}
	for i := range r.Findings {
		f := &r.Findings[i]
		if line := string(f.Code) + ": " + f.Cause; f.Cause != "" && !said[line] {
			said[line] = true
			fmt.Fprintf(b, "%s likely %s\n", table.Paint(string(f.Code)+":", table.Strong, color), table.Line(f.Cause))
		}
	}
	b.WriteString("\n")
}

// place says where a finding is.
func place(f *audit.Finding) string {
	var parts []string
	add := func(ok bool, format string, args ...any) {
		if ok {
			parts = append(parts, fmt.Sprintf(format, args...))
		}
	}
	add(f.Pod != "", "pod %s", f.Pod)
	add(f.Session != "", "session %s", f.Session)
	add(f.Segment > 0, "segment %d", f.Segment)
	add(f.Record > 0, "record %d", f.Record)
	add(f.LogIndex != nil && f.Session == "", "leaf %s", number(f.LogIndex))
	add(f.Object != "" && f.Session == "", "%s", f.Object)
	return cmp.Or(strings.Join(parts, ", "), table.None)
}

func number(i *int64) string {
	if i == nil {
		return table.None
	}
	return table.Number(*i)
}

// closing is the line of sums.
func (r *Report) closing(color bool) string {
	s := r.Summary
	parts := []string{table.Count(s.Sessions, "session"), table.Count(s.Segments, "segment"), table.Count(s.Records, "record")}
	if r.Logged {
		parts = append(parts, "log of "+table.Count(s.Leaves, "leaf")+views(s.Views))
	} else {
		parts = append(parts, "not compared with the log: what is missing as a whole does not show")
	}
	for _, more := range []struct {
		n    int64
		what string
	}{
		{s.Running, "running"}, {s.Recovered, "recovered"}, {s.Erased, "erased"}, {s.Removed, "removed"}, {s.Unopened, "segments not opened: no key, digests checked"},
	} {
		if more.n > 0 {
			parts = append(parts, table.Number(more.n)+" "+more.what)
		}
	}
	verdict, style := "verified", table.Good
	switch r.ExitCode() {
	case 2:
		verdict, style = fmt.Sprintf("TAMPERED: %s", table.Count(s.Tampered, "finding")), table.Bad
	case 3:
		verdict, style = fmt.Sprintf("incomplete: %s", table.Count(s.Incomplete, "finding")), table.Attention
	}
	return table.Paint(verdict, style, color) + " · " + strings.ReplaceAll(strings.Join(parts, ", "), "leafs", "leaves")
}

func views(n int) string {
	if n == 0 {
		return ", compared with no other view of it"
	}
	return ", as " + table.Count(int64(n), "other view") + map[bool]string{true: " has", false: " have"}[n == 1] + " it"
}
