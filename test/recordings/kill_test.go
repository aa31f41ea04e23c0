package recordings

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// kills is how often a process is killed: TIDEWAITER_KILLS, or a few.
func kills(t *testing.T) int {
	n, err := strconv.Atoi(os.Getenv("TIDEWAITER_KILLS"))
	if err != nil {
		n = 6
	}
	if n < 2 {
		t.Fatal("TIDEWAITER_KILLS must be 2 or more")
	}
	return n
}

// TestNothingIsLostWhereProxyAndOperatorAreKilled kills them in turns while agents write. Each statement that reached the server must be in
// the recordings, with its intent; nothing may be there twice or missing; and all of it must verify.
func TestNothingIsLostWhereProxyAndOperatorAreKilled(t *testing.T) {
	s := open(t)
	p := s.pod("worker")
	ctx, stop := context.WithCancel(s.Context())
	defer stop()
	var next, answered atomic.Int64
	var agents sync.WaitGroup
	for range 4 {
		agents.Go(func() { s.writes(ctx, p, &next, &answered) })
	}
	total, proxy, operator := kills(t), 0, 0
	for i := range total {
		before := answered.Load()
		s.until("agents write", func(context.Context) error {
			if answered.Load() < before+20 {
				return fmt.Errorf("%d statements were answered", answered.Load()-before)
			}
			return nil
		})
		<-time.After(time.Duration(rand.IntN(1500)) * time.Millisecond)
		if i%2 == 0 {
			s.must(p.sidecar.Kill())
			s.run(p)
			proxy++
		} else {
			s.must(s.cluster.KillOperator())
			<-time.After(time.Duration(rand.IntN(500)) * time.Millisecond)
			s.must(s.cluster.StartOperator(s.Context()))
			operator++
		}
	}
	stop()
	agents.Wait()
	s.must(p.sidecar.Ready(s.Context()))
	s.must(p.sidecar.Stop())
	reached := s.rows("SELECT n FROM work")
	recorded := s.recorded(p)
	missing := 0
	for _, n := range reached {
		if !recorded[n] {
			missing++
		}
	}
	t.Logf("killed: proxy %d times, operator %d times; %d statements were answered, %d reached the server, %d are recorded, %d are missing",
		proxy, operator, answered.Load(), len(reached), len(recorded), missing)
	if missing > 0 || len(reached) < total*20 {
		t.Errorf("%d of %d statements that reached the server are not recorded", missing, len(reached))
	}
	out, code := s.tidewaiter("verify", "--all", "--store", s.cluster.Recordings)
	if code == 2 || code == 1 {
		t.Errorf("verify: exit code %d\n%s", code, out)
	}
	t.Logf("verify says (exit code %d):\n%s", code, out)
}

// writes inserts numbers, one in each statement, until ctx ends; connections come and go with the proxy.
func (s *stage) writes(ctx context.Context, p *pod, next, answered *atomic.Int64) {
	for ctx.Err() == nil {
		conn, err := s.connect(ctx, p)
		if err != nil {
			<-time.After(50 * time.Millisecond)
			continue
		}
		for ctx.Err() == nil {
			n := next.Add(1)
			if _, err := conn.Exec(ctx, fmt.Sprintf("INSERT INTO work VALUES (%d)", n)).ReadAll(); err != nil {
				break
			}
			answered.Add(1)
		}
		_ = conn.Close(context.Background()) // the proxy may be gone
	}
}

// rows are the numbers that a query of the database's owner returns.
func (s *stage) rows(sql string) []int64 {
	s.Helper()
	var out []int64
	for _, row := range s.query(sql) {
		n, err := strconv.ParseInt(row, 10, 64)
		s.must(err)
		out = append(out, n)
	}
	slices.Sort(out)
	return out
}

var inserted = regexp.MustCompile(`INSERT INTO work VALUES \((\d+)\)`)

// recorded are the numbers whose statements are recorded as decided and allowed.
func (s *stage) recorded(p *pod) map[int64]bool {
	s.Helper()
	found := map[int64]bool{}
	for _, session := range s.history("--pod", p.Name) {
		for line := range strings.Lines(s.audits(0, []string{"replay", session, "--format", "json", "--recordings-url", s.cluster.Reader()})) {
			var event struct{ Decided struct{ Text, Effect string } }
			s.must(json.Unmarshal([]byte(line), &event))
			if m := inserted.FindStringSubmatch(event.Decided.Text); m != nil && event.Decided.Effect == "Allow" {
				n, err := strconv.ParseInt(m[1], 10, 64)
				s.must(err)
				if found[n] {
					s.Errorf("statement %d is recorded twice", n)
				}
				found[n] = true
			}
		}
	}
	return found
}

// history lists the ids of sessions, by what an auditor asks for.
func (s *stage) history(flags ...string) []string {
	s.Helper()
	var list struct{ Sessions []struct{ Session string } }
	s.must(json.Unmarshal([]byte(s.audits(0, append([]string{"sessions", "--since", "1h", "-A", "-o", "json", "--recordings-url", s.cluster.Reader()}, flags...))), &list))
	var out []string
	for _, item := range list.Sessions {
		out = append(out, item.Session)
	}
	return out
}
