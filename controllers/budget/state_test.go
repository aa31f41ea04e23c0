package budget

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

var noon = time.Unix(1_800_000_000, 0)

func at(after time.Duration) time.Time { return noon.Add(after) }

func TestWhatIsLentComesBackWhenNoneOfItCanHaveBeenUsedInTheLastHour(t *testing.T) {
	s := newState()
	// Lent in the last second of a minute, it may be used until the last of the next one: 1 h 1 min 59 s after noon is an hour after that.
	if got := s.lend(Ask{Pod: "a", Limit: 100, Want: 100}, at(59*time.Second)); got.Granted != 100 || got.Left != 0 {
		t.Fatalf("got %+v", got)
	}
	for _, step := range []struct {
		after time.Duration
		want  int64
		retry time.Duration
	}{
		{60 * time.Second, 0, 61 * time.Minute},
		{61*time.Minute + 59*time.Second, 0, time.Second},
		{62 * time.Minute, 100, 0},
	} {
		got := s.lend(Ask{Pod: "a", Limit: 100, Want: 100}, at(step.after))
		if got.Granted != step.want || got.Retry != step.retry {
			t.Errorf("after %v: got %+v, want %d, or more in %v", step.after, got, step.want, step.retry)
		}
	}
}

func TestLeases(t *testing.T) {
	for name, c := range map[string]struct {
		before func(s state)
		ask    Ask
		want   Answer
	}{
		"a lease is a twentieth of the limit":    {nil, Ask{Pod: "a", Limit: 10_000, Want: 1}, Answer{Granted: 500, Left: 9500}},
		"or what is wanted, if that is more":     {nil, Ask{Pod: "a", Limit: 10_000, Want: 700}, Answer{Granted: 700, Left: 9300}},
		"more than there is is not lent in part": {nil, Ask{Pod: "a", Limit: 10, Want: 11}, Answer{Left: 10, Retry: time.Hour}},
		"no limit is no budget":                  {nil, Ask{Pod: "a", Limit: 0, Want: 1}, Answer{Retry: time.Hour}},
		"nothing wanted, nothing lent":           {nil, Ask{Pod: "a", Limit: 10_000}, Answer{Left: 10_000, Retry: time.Hour}},
		"pods share what is left": {func(s state) {
			for i := range 5 {
				s.lend(Ask{Pod: fmt.Sprint(i), Limit: 10_000, Want: 1400}, noon)
			}
		}, Ask{Pod: "0", Limit: 10_000, Want: 1}, Answer{Granted: 300, Left: 2700}},
		"what is given back is there again":            {func(s state) { s.lend(Ask{Pod: "a", Limit: 100, Want: 100}, noon) }, Ask{Pod: "a", Limit: 100, Want: 40, Unused: 40}, Answer{Granted: 40, Left: 0}},
		"nobody gives back more than the latest lease": {func(s state) { s.lend(Ask{Pod: "a", Limit: 100, Want: 10}, noon) }, Ask{Pod: "a", Limit: 100, Unused: 1000}, Answer{Left: 100, Retry: 0}},
		"nor what others were lent":                    {func(s state) { s.lend(Ask{Pod: "b", Limit: 100, Want: 100}, noon) }, Ask{Pod: "a", Limit: 100, Want: 1, Unused: 50}, Answer{Retry: 62 * time.Minute}},
		"nor twice": {func(s state) {
			s.lend(Ask{Pod: "a", Limit: 100, Want: 100}, noon)
			s.lend(Ask{Pod: "a", Limit: 100, Unused: 30}, noon)
		}, Ask{Pod: "a", Limit: 100, Want: 31, Unused: 30}, Answer{Left: 30, Retry: 62 * time.Minute}},
		"what was approved beyond the budget counts":  {nil, Ask{Pod: "a", Limit: 100, Want: 1, Over: 1 << 62}, Answer{Retry: 62 * time.Minute}},
		"a lower limit leaves nothing, not less":      {func(s state) { s.lend(Ask{Pod: "a", Limit: 100, Want: 90}, noon) }, Ask{Pod: "b", Limit: 50, Want: 1}, Answer{Retry: 62 * time.Minute}},
		"a pod that says less than nothing is helped": {nil, Ask{Pod: "a", Limit: 100, Want: -5, Unused: -5, Over: -5}, Answer{Left: 100, Retry: time.Hour}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newState()
			if c.before != nil {
				c.before(s)
			}
			got := s.lend(c.ask, noon)
			if c.want.Granted > 0 || c.want.Retry == 0 || c.ask.Want <= 0 {
				c.want.Retry = got.Retry
			}
			if got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

// use is what a pod used, and when.
type use struct {
	at   time.Time
	rows int64
}

// reader is a pod that uses its lease as it likes, up to the last moment.
type reader struct {
	lease int64
	until time.Time
	used  []use
}

func TestNoHourHasMoreThanTheLimitWhateverPodsDo(t *testing.T) {
	const limit, pods = 1000, 4
	for seed := range uint64(30) {
		r := rand.New(rand.NewPCG(seed, 1))
		s := newState()
		var all []reader
		for range pods {
			all = append(all, reader{})
		}
		total := int64(0)
		for now := noon; now.Before(at(5 * time.Hour)); now = now.Add(rand.N(40 * time.Second)) {
			i := r.IntN(pods)
			p := &all[i]
			if !now.Before(p.until) {
				// expired: it is given back below
			} else if n := min(p.lease, r.Int64N(60)); n > 0 {
				p.lease -= n
				p.used = append(p.used, use{now, n})
				total += n
				continue
			}
			want := 1 + r.Int64N(20)
			got := s.lend(Ask{Pod: fmt.Sprint(i), Limit: limit, Want: want, Unused: p.lease}, now)
			p.lease, p.until = got.Granted, now.Add(LeaseTime)
			if s2, err := parse(s.String()); err != nil || s2.String() != s.String() {
				t.Fatalf("the state does not survive being written: %v", err)
			}
		}
		var uses []use
		for _, p := range all {
			uses = append(uses, p.used...)
		}
		for _, from := range uses {
			sum := int64(0)
			for _, u := range uses {
				if d := u.at.Sub(from.at); d >= 0 && d < time.Hour {
					sum += u.rows
				}
			}
			if sum > limit {
				t.Fatalf("seed %d: %d rows within an hour from %v", seed, sum, from.at)
			}
		}
		if total < 3*limit {
			t.Errorf("seed %d: only %d rows in five hours", seed, total)
		}
	}
}

func TestAStateIsBounded(t *testing.T) {
	s := newState()
	for i := range 3 * maxPods {
		s.lend(Ask{Pod: fmt.Sprintf("%036d", i), Limit: 1 << 40, Want: 1}, at(time.Duration(i)*10*time.Second))
	}
	if len(s.Pods) > maxPods || len(s.Lent) > counted+1 || len(s.String()) > maxState/4 {
		t.Errorf("%d pods, %d minutes, %d bytes", len(s.Pods), len(s.Lent), len(s.String()))
	}
	for _, bad := range []string{"", "{}", `{"lent":{"1":-5},"pods":{}}`, `{"lent":{"x":5},"pods":{}}`, "null"} {
		if _, err := parse(bad); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}
