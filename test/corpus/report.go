package corpus

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
)

// Report is what became of all rows of a corpus.
type Report struct{ Results []Result }

// Count is how many runs had one of the verdicts.
func (r Report) Count(verdicts ...Verdict) int {
	count := 0
	for _, result := range r.Results {
		if slices.Contains(verdicts, result.Verdict) {
			count++
		}
	}
	return count
}

// AsExpected is the share of rows that are as expected in all their modes, in percent; 100 without rows.
func (r Report) AsExpected() float64 {
	good := map[string]bool{}
	for _, result := range r.Results {
		before, seen := good[result.Row.ID]
		good[result.Row.ID] = (before || !seen) && result.Verdict == AsExpected
	}
	if len(good) == 0 {
		return 100
	}
	count := 0
	for _, isGood := range good {
		if isGood {
			count++
		}
	}
	return 100 * float64(count) / float64(len(good))
}

// columnsOfTable are the verdicts in the order of the table's columns.
var columnsOfTable = []Verdict{AsExpected, OverBlocked, Different, Dependent, UnderBlocked, Broken, Leak}

// WriteTable prints a line per category, and the sums. A run is a row in one mode.
func (r Report) WriteTable(out io.Writer) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	writeLine := func(name string, results []Result) {
		part := Report{Results: results}
		_, _ = fmt.Fprintf(table, "%s\t%d", name, len(results)) // Flush returns the error
		for _, verdict := range columnsOfTable {
			_, _ = fmt.Fprintf(table, "\t%d", part.Count(verdict))
		}
		_, _ = fmt.Fprintln(table, "\t")
	}
	_, _ = fmt.Fprint(table, "category\truns")
	for _, verdict := range columnsOfTable {
		_, _ = fmt.Fprintf(table, "\t%s", verdict)
	}
	_, _ = fmt.Fprintln(table, "\t")
	byCategory := map[string][]Result{}
	var categories []string
	for _, result := range r.Results {
		category := result.Row.Category
		if byCategory[category] == nil {
			categories = append(categories, category)
		}
		byCategory[category] = append(byCategory[category], result)
	}
	for _, category := range categories {
		writeLine(category, byCategory[category])
	}
	writeLine("all", r.Results)
	return table.Flush()
}

// WriteDetails prints a line per run that is not as expected.
func (r Report) WriteDetails(out io.Writer) error {
	for _, result := range r.Results {
		if result.Verdict == AsExpected {
			continue
		}
		if _, err := fmt.Fprintf(out, "%-13s %s %s %-8s %q\n              %s\n", result.Verdict, result.Row.ID, result.Row.Expected,
			result.Mode, result.Row.SQL, result.Detail); err != nil {
			return err
		}
	}
	return nil
}
