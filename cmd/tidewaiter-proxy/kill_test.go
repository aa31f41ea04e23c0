package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tidewaiter/tidewaiter/recording"
	"github.com/tidewaiter/tidewaiter/test/postgrestest"
)

// kills is how often the test kills the sidecar: TIDEWAITER_KILLS, 5 without it.
func kills(t *testing.T) int {
	t.Helper()
	s := os.Getenv("TIDEWAITER_KILLS")
	if s == "" {
		return 5
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 {
		t.Fatalf("TIDEWAITER_KILLS=%s: write a number from 1", s)
	}
	return n
}

// Whoever kills the sidecar at any moment must neither have a statement run that is not recorded, nor a hole or a double in what is kept.
func TestAKilledSidecarHasRecordedEveryStatementThatReachedTheServer(t *testing.T) {
	p := newPod(t)
	pg := postgrestest.Shared(t)
	if err := pg.Exec(t.Context(), p.database, "CREATE TABLE runs (id text PRIMARY KEY); GRANT INSERT, SELECT ON runs TO "+p.role); err != nil {
		t.Fatal(err)
	}
	p.policy = `[{name: runs, action: Allow, statements: [Select, BulkSelect, Insert, Session, Transaction], tables: ["public.*"]}]`
	stop, taken := p.load(t, 4)
	for n := range kills(t) {
		p.start(t, "--spool-limit", "16777216")
		p.stream = p.operator.Next(t)
		if n%4 == 3 { // while it seals what the one before has left
			p.stream.Snapshot(t, p.snapshot(t))
			time.Sleep(rand.N(100 * time.Millisecond))
		} else {
			p.give(t)
			p.ready(t)
			before := taken.Load()
			eventually(t, func() (string, bool) { return "no statement is taken", taken.Load() > before })
			time.Sleep(rand.N(time.Second))
		}
		_ = p.stop(t, syscall.SIGKILL)
	}
	p.start(t)
	p.stream = p.operator.Next(t)
	p.give(t)
	p.ready(t)
	before := taken.Load()
	eventually(t, func() (string, bool) { return "no statement is taken", taken.Load() > before })
	stop()
	if err := p.stop(t, terminate); err != nil {
		t.Fatal(err)
	}
	if files, err := filepath.Glob(filepath.Join(p.spool, "*", "*", "*")); err != nil || len(files) > 0 {
		t.Errorf("left in the spool: %v, %v", files, err)
	}
	p.everyRunIsRecorded(t)
	p.nothingIsMissingOrTwice(t)
}

// load runs statements, each of which leaves a row, until stop is called. The first client stays in its session and says much; the
// others come and go.
func (p *pod) load(t *testing.T, clients int) (stop func(), taken *atomic.Int64) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	taken = &atomic.Int64{}
	for c := range clients {
		all.Go(func() {
			for n := 0; ctx.Err() == nil; {
				conn, err := p.dial("")
				if err != nil {
					time.Sleep(10 * time.Millisecond)
					continue
				}
				for i := 0; ctx.Err() == nil && (c == 0 || i < 10); i++ {
					sql := fmt.Sprintf("INSERT INTO runs VALUES ('run-%d-%d')", c, n)
					if n++; c == 0 {
						sql = fmt.Sprintf("INSERT INTO runs SELECT 'run-%d-%d' WHERE '%s' <> ''", c, n-1, noise(50_000))
					}
					if _, err := conn.Exec(ctx, sql).ReadAll(); err != nil {
						break // that it may have run all the same is what this is about
					}
					taken.Add(1)
				}
				_ = conn.Close(context.Background())
			}
		})
	}
	stop = func() { cancel(); all.Wait() }
	t.Cleanup(stop)
	return stop, taken
}

var runID = regexp.MustCompile(`run-\d+-\d+`)

// everyRunIsRecorded looks for the intent record of every row.
func (p *pod) everyRunIsRecorded(t *testing.T) {
	t.Helper()
	recorded := map[string]bool{}
	for id := range p.kept.Segments() {
		events, err := p.kept.Events(id)
		if err != nil {
			t.Fatalf("%s: %v", id, err)
		}
		for _, e := range events {
			if d := e.Event.Decided; d != nil {
				if run := runID.FindString(d.Text); run != "" {
					recorded[run] = true
				}
			}
		}
	}
	conn, err := pgx.Connect(t.Context(), postgrestest.Shared(t).DSN(p.database))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	rows, err := conn.Query(t.Context(), "SELECT id FROM runs")
	if err != nil {
		t.Fatal(err)
	}
	runs, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(runs) < 10 {
		t.Fatalf("%d statements ran: the test proves nothing (%v)", len(runs), err)
	}
	for _, run := range runs {
		if !recorded[run] {
			t.Errorf("%s reached the server, and is not recorded", run)
		}
	}
	t.Logf("%d statements ran, %d are recorded, in %d sessions", len(runs), len(recorded), len(p.kept.Segments()))
}

// nothingIsMissingOrTwice looks at how what arrived hangs together: what does not follow was refused when it came.
func (p *pod) nothingIsMissingOrTwice(t *testing.T) {
	t.Helper()
	if refused := p.kept.Refused(); len(refused) > 0 {
		t.Errorf("refused: %v", refused)
	}
	heads := map[recording.KeyID]map[uint64]*recording.Segment{}
	ends := map[recording.End]int{}
	recovered, segments := 0, 0
	for id, all := range p.kept.Segments() {
		for _, s := range all {
			if heads[s.Head.Key] == nil {
				heads[s.Head.Key] = map[uint64]*recording.Segment{}
			}
			heads[s.Head.Key][s.Head.Serial] = s
			segments++
			if s.Head.Recovered {
				recovered++
			}
		}
		end := all[len(all)-1].Head.End
		if ends[end]++; end == recording.EndNone {
			t.Errorf("session %s has no end", id)
		}
	}
	sums := map[recording.KeyID][]recording.Hash{}
	for key, of := range heads {
		sum := recording.Hash{}
		for serial := uint64(1); serial <= uint64(len(of)); serial++ {
			if of[serial] == nil {
				t.Errorf("of key %v segment %d is missing, of %d", key, serial, len(of))
				break
			}
			sum = recording.NextSum(sum, &of[serial].Signed)
			sums[key] = append(sums[key], sum)
		}
	}
	last := 0
	for _, h := range p.kept.Heartbeats() {
		if h.Sealed > uint64(len(sums[h.Key])) || h.Sealed > 0 && sums[h.Key][h.Sealed-1] != h.Sum {
			t.Errorf("a heartbeat says %d segments with the sum %v, and %d are here", h.Sealed, h.Sum, len(sums[h.Key]))
		}
		if h.Last {
			last++
		}
	}
	if last != 1 {
		t.Errorf("%d sidecars said that they stop, of 1", last)
	}
	t.Logf("%d segments of %d keys, %d recovered; sessions by their ends: %v", segments, len(heads), recovered, ends)
}
