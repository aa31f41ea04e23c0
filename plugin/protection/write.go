package protection

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/plugin/table"
)

// Write prints the report: the verdict first, then what it rests on.
func (r *Report) Write(w io.Writer, now time.Time, color bool) error {
	var b strings.Builder
	style := table.Good
	if !r.Protected {
		style = table.Bad
	} else if r.Verdict != "protected" {
		style = table.Attention
	}
	fmt.Fprintf(&b, "%s   %s\n", table.Paint("pod "+r.Namespace+"/"+r.Pod, table.Strong, color), table.Paint(table.Line(r.Verdict), style, color))
	if r.Cure != "" {
		fmt.Fprintf(&b, "  cure: %s\n", table.Line(r.Cure))
	}
	for _, f := range r.Findings {
		f.Write(&b, "  ", f.Cure != r.Cure, color)
	}
	for _, u := range r.Uses {
		writeUse(&b, u, now)
	}
	if len(r.Requests) > 0 {
		b.WriteString("  waits for people:\n")
		for _, q := range r.Requests {
			fmt.Fprintf(&b, "    %s   %s\n      kubectl tidewaiter approve -n %s %s\n", q.Name, q.Summary, q.Namespace, q.Name)
		}
	}
	if len(r.Warnings) > 0 {
		b.WriteString("  warnings of the last hour:\n")
		for _, e := range r.Warnings {
			fmt.Fprintf(&b, "    %s  %s: %s\n", clock(e.At, now), table.Line(e.Reason), e.Text)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func writeUse(b *strings.Builder, u Use, now time.Time) {
	fmt.Fprintf(b, "  uses %s", u.DataSource)
	if st := u.Status; st != nil {
		parts := []string{
			table.Count(st.Statements, "statement"), table.Number(st.Denied) + " denied", table.Number(st.Masked) + " masked",
			table.Number(st.Held) + " held", table.Count(st.Rows, "row"), table.Bytes(st.Bytes),
		}
		fmt.Fprintf(b, ": %s", strings.Join(parts, ", "))
		if st.LastActivity != nil {
			fmt.Fprintf(b, "; the latest %s ago", table.Span(now.Sub(st.LastActivity.Time)))
		}
	}
	b.WriteString("\n")
	if len(u.Policies) > 0 {
		fmt.Fprintf(b, "    by %s\n", strings.Join(u.Policies, "; "))
	}
}

func clock(at string, now time.Time) string {
	t, err := time.Parse(time.RFC3339, at)
	if err != nil {
		return at
	}
	return table.Clock(t, now)
}
