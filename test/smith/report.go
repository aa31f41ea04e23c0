package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tidewaiter/tidewaiter/test/tap"
)

// outcome is what became of a statement on its way through the proxy.
type outcome string

const (
	own        outcome = "own"        // of sqlsmith's own: BEGIN, ROLLBACK, SET
	answered   outcome = "answered"   // let through, and the server ran it
	failed     outcome = "failed"     // let through, and the server refused it
	unfinished outcome = "unfinished" // let through, and the server's time ran out
	denied     outcome = "denied"     // refused by the proxy
	crashed    outcome = "crashed"    // refused by the proxy because of a defect of its own
)

// verdict is what is known of one statement.
type verdict struct {
	answer   tap.Answer
	outcome  outcome
	accepted bool     // the bare server runs it
	failure  string   // what the bare server said otherwise
	masked   bool     // the analyser finds protected values in its output
	features []string // that the analyser finds
	unknown  []string // what the analyser does not understand in it; empty if it understands all
}

// unknownShare is what may not be understood, in percent of the statements that the server accepts.
const unknownShare = 5.0

// report counts. Its methods may be called from several goroutines.
type report struct {
	mu       sync.Mutex
	first    chan struct{} // closed when there is a statement
	log      io.Writer     // nil for none
	outcomes map[outcome]int
	accepted int
	masked   int            // answered, with protected values in the output
	unknown  int            // accepted by the server, refused, and not understood
	reasons  map[string]int // of unknown
	messages map[string]int // of denials of what the server accepts
	features map[string]int // of denials of what the server accepts
	findings map[string]int // by kind
	examples []string       // the first findings
	duration time.Duration
	bytes    int64
}

func newReport() *report {
	return &report{
		first: make(chan struct{}), outcomes: map[outcome]int{}, reasons: map[string]int{}, messages: map[string]int{}, features: map[string]int{}, findings: map[string]int{},
	}
}

// enough is how many findings are printed whole.
const enough = 20

func (r *report) finding(f tap.Finding) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.findings[f.Kind]++
	text := fmt.Sprintf("%s: %s\n\tduring: %s\n", strings.ToUpper(f.Kind), f.What, f.Query)
	if len(r.examples) < enough {
		r.examples = append(r.examples, text)
	}
	r.note(text)
}

// note writes to the file of the option. A full disk must not end the run: what counts is counted.
func (r *report) note(text string) {
	if r.log != nil {
		_, _ = io.WriteString(r.log, text)
	}
}

func (r *report) add(v verdict) {
	if v.outcome == crashed {
		r.finding(tap.Finding{Kind: "crash", What: v.answer.Message, Query: v.answer.Query})
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if v.outcome != own && r.total() == 0 {
		close(r.first)
	}
	r.outcomes[v.outcome]++
	if v.accepted {
		r.accepted++
	}
	if v.outcome == answered && v.masked {
		r.masked++
	}
	if v.outcome != denied || !v.accepted {
		return
	}
	r.messages[v.answer.Message]++
	for _, feature := range v.features {
		r.features[feature]++
	}
	if len(v.unknown) > 0 {
		r.unknown++
		slices.Sort(v.unknown)
		for _, reason := range slices.Compact(v.unknown) {
			r.reasons[reason]++
		}
		r.note(fmt.Sprintf("UNKNOWN: %s\n\t%s\n", strings.Join(v.unknown, "; "), v.answer.Query))
	}
}

// firstPatience is how long sqlsmith may take to make its first statement.
const firstPatience = 3 * time.Minute

// waitForFirst waits until a statement has been judged; in vain, if there is none for too long.
func (r *report) waitForFirst(ctx context.Context) {
	select {
	case <-r.first:
	case <-time.After(firstPatience):
	case <-ctx.Done():
	}
}

// statements is how many statements were judged.
func (r *report) statements() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.total()
}

func (r *report) total() int {
	total := 0
	for kind, count := range r.outcomes {
		if kind != own {
			total += count
		}
	}
	return total
}

// share is the percentage of accepted statements that are not understood.
func (r *report) share() float64 { return 100 * float64(r.unknown) / float64(max(r.accepted, 1)) }

// summary is one line.
func (r *report) summary() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return fmt.Sprintf("%d statements, the server accepts %d, not understood %d (%.2f %%), findings %v", r.total(), r.accepted, r.unknown, r.share(), r.findings)
}

// bad is an error if something happened that must not.
func (r *report) bad() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.findings) > 0 {
		return fmt.Errorf("findings: %v", r.findings)
	}
	if r.share() >= unknownShare {
		return fmt.Errorf("%.2f %% of the statements that the server accepts are not understood; want below %.0f %%", r.share(), unknownShare)
	}
	if r.accepted == 0 {
		return fmt.Errorf("the server accepted no statement: nothing was shown")
	}
	return nil
}

// write prints the whole report.
func (r *report) write(out io.Writer) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, "\nsqlsmith, %s: %d statements, %d bytes to the client\n", r.duration.Round(time.Second), r.total(), r.bytes)
	for _, kind := range []outcome{answered, failed, unfinished, denied, crashed} {
		fmt.Fprintf(&b, "  %-12s %8d\n", kind, r.outcomes[kind])
	}
	fmt.Fprintf(&b, "  answered with protected values in the output, masked: %d\n", r.masked)
	fmt.Fprintf(&b, "  accepted by the bare server: %d; of these refused as not understood: %d (%.2f %%)\n", r.accepted, r.unknown, r.share())
	table(&b, "what is not understood, of what the server accepts", r.reasons, 60)
	table(&b, "features of denied statements that the server accepts", r.features, 40)
	table(&b, "words of these denials", r.messages, 25)
	fmt.Fprintf(&b, "\nfindings: %v\n", r.findings)
	for _, example := range r.examples {
		b.WriteString(example)
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// table prints counts, the largest first, at most a number of them.
func table(b *strings.Builder, title string, counts map[string]int, most int) {
	fmt.Fprintf(b, "\n%s:\n", title)
	keys := slices.SortedFunc(maps.Keys(counts), func(x, y string) int {
		return cmp.Or(cmp.Compare(counts[y], counts[x]), cmp.Compare(x, y))
	})
	for _, key := range keys[:min(most, len(keys))] {
		fmt.Fprintf(b, "  %8d  %s\n", counts[key], key)
	}
	if len(keys) > most {
		fmt.Fprintf(b, "  … and %d more\n", len(keys)-most)
	}
}
