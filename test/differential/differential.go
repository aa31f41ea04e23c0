// Package differential compares, byte for byte, what a client is sent by a PostgreSQL server directly and through a proxy, in
// random but legal conversations: simple queries of several statements, extended queries in any grouping, pipelines, row limits,
// COPY in and out, errors at every place, cursors and transactions. A conversation follows from its seed alone.
//
// Messages are written and read by code of its own. It must not import a package of the product: a mistake that both made would not
// show.
package differential

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"
)

// Schema is the SQL text that both servers must have run, once, in the database that is talked to.
const Schema = `
CREATE TABLE diff_rows (id int PRIMARY KEY, note text, amount numeric, at timestamptz, raw bytea);
INSERT INTO diff_rows SELECT g, CASE WHEN g % 7 <> 0 THEN 'note ' || g END, g * 1.25, '2026-01-01'::timestamptz + g * interval '1 hour',
  decode(lpad(to_hex(g), 4, '0'), 'hex') FROM generate_series(1, 50) g;`

// Target is where a client connects to.
type Target struct {
	Address                  string // host:port
	User, Password, Database string
}

// Difference is the error of [Compare]: the two answers to a conversation are not the same.
type Difference struct {
	Seed  uint64
	Steps []string // what was sent, reduced as far as it still shows the difference
	What  string   // the first thing that differs
}

// Error shows the conversation.
func (d *Difference) Error() string {
	return fmt.Sprintf("seed %d: %s\nafter:\n  %s", d.Seed, d.What, strings.Join(d.Steps, "\n  "))
}

// Compare holds the conversation of a seed with both targets. The error is a [*Difference], or says why a target could not be
// talked to. The direct target is asked to log in by whatever it asks for, the other one as well.
func Compare(ctx context.Context, direct, through Target, seed uint64) error {
	steps := converse(seed)
	what, err := compareSteps(ctx, direct, through, steps)
	if err != nil || what == "" {
		return err
	}
	steps, what = reduce(ctx, direct, through, steps, what)
	difference := &Difference{Seed: seed, What: what}
	for _, s := range steps {
		difference.Steps = append(difference.Steps, s.text)
	}
	return difference
}

// compareSteps says what differs first, "" for nothing.
func compareSteps(ctx context.Context, direct, through Target, steps []step) (string, error) {
	var mine, theirs answer
	var directErr, throughErr error
	var both sync.WaitGroup
	both.Go(func() { mine, directErr = hold(ctx, direct, steps) })
	both.Go(func() { theirs, throughErr = hold(ctx, through, steps) })
	both.Wait()
	if directErr != nil {
		return "", fmt.Errorf("direct: %w", directErr)
	}
	if throughErr != nil {
		return "", fmt.Errorf("through: %w", throughErr)
	}
	return firstDifference(mine, theirs), nil
}

// reducePatience bounds the reduction: a conversation that hangs takes its time at each try.
const reducePatience = 30 * time.Second

// reduce leaves out one step after the other, with its tail, as long as the answers still differ.
func reduce(ctx context.Context, direct, through Target, steps []step, what string) ([]step, string) {
	deadline := time.Now().Add(reducePatience)
	for i := len(steps) - 1; i >= 0 && time.Now().Before(deadline); i-- {
		if steps[i].tail {
			continue
		}
		end := i + 1
		for end < len(steps) && steps[end].tail {
			end++
		}
		fewer := append(append([]step{}, steps[:i]...), steps[end:]...)
		if still, err := compareSteps(ctx, direct, through, fewer); err == nil && still != "" {
			steps, what = fewer, still
		}
	}
	return steps, what
}

func firstDifference(direct, through answer) string {
	if !maps.Equal(direct.parameters, through.parameters) {
		return fmt.Sprintf("parameters at login, direct %v, through %v", direct.parameters, through.parameters)
	}
	mine, theirs := normalize(direct.frames), normalize(through.frames)
	for i := range max(len(mine), len(theirs)) {
		if i < len(mine) && i < len(theirs) && mine[i].same(theirs[i]) {
			continue
		}
		return fmt.Sprintf("message %d of %d direct, %d through:\n  direct:  %s\n  through: %s", i, len(mine), len(theirs), at(mine, i), at(theirs, i))
	}
	if direct.end != through.end {
		return fmt.Sprintf("the end, direct %q, through %q", direct.end, through.end)
	}
	return ""
}

func at(frames []frame, i int) string {
	if i >= len(frames) {
		return "nothing"
	}
	return fmt.Sprintf("%c %.300q", frames[i].kind, frames[i].body)
}
