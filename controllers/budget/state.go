package budget

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

const (
	// LeaseTime is how long what is lent may be used. What is not used by then can be given back.
	LeaseTime = time.Minute
	// counted is for how many minutes, beside its own, what was lent in a minute counts: an hour, and one minute more, since
	// the last of it may be used as late as in the minute after.
	counted = 61
	// near is for how many minutes a pod is taken for one that shares.
	near = 5
	// maxPods bounds the pods that a budget knows by name; what others are lent they cannot give back.
	maxPods = 256

	leaseParts  = 20   // a lease is at most this part of the limit,
	leaseFloor  = 1000 // and, as long as it lasts, not less than this: each lease is a write to the API server
	sharedParts = 2    // of what is left, each pod gets half of its share
)

// Ask is what a pod wants of a budget.
type Ask struct {
	Pod   string // UID
	Limit int64  // of an hour; from the policy, never from the pod
	// Want is how much it needs at least; 0: nothing.
	Want int64
	// Unused is what it gives back of its lease before; Over what it used beyond leases, since a person had approved that.
	Unused, Over int64
}

// Answer lends a part of a budget.
type Answer struct {
	Granted int64
	Left    int64         // in the budget after this
	Retry   time.Duration // with Granted 0: when what was wanted fits at the earliest
}

// state is what is known of one budget. Minutes are since 1970.
type state struct {
	Lent map[int64]int64 `json:"lent"` // by minute
	Pods map[string]pod  `json:"pods"` // by UID
}

// pod is the latest lease of a pod.
type pod struct {
	Seen   int64 `json:"seen"` // minute
	Minute int64 `json:"minute"`
	Amount int64 `json:"amount"`
}

// maxState bounds, in bytes, what is read.
const maxState = 256 << 10

// parse reads a state strictly: one that cannot be read lends nothing.
func parse(text string) (state, error) {
	s := state{}
	if len(text) > maxState {
		return s, errors.New("budget: a state is too large")
	}
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return s, fmt.Errorf("budget: a state cannot be read: %w", err)
	}
	for m, n := range s.Lent {
		if m < 0 || n < 0 {
			return s, errors.New("budget: a state has a negative number")
		}
	}
	if s.Lent == nil || s.Pods == nil {
		return s, errors.New("budget: a state is incomplete")
	}
	return s, nil
}

func newState() state { return state{Lent: map[int64]int64{}, Pods: map[string]pod{}} }

func (s state) String() string {
	text, err := json.Marshal(s) // maps in the order of their keys
	if err != nil {
		panic(err) // numbers and strings alone
	}
	return string(text)
}

// forget drops what counts no more. It reports whether anything is left.
func (s state) forget(minute int64) bool {
	maps.DeleteFunc(s.Lent, func(m, n int64) bool { return minute-m > counted || n == 0 })
	maps.DeleteFunc(s.Pods, func(_ string, p pod) bool { return minute-max(p.Seen, p.Minute) > counted })
	return len(s.Lent) > 0
}

// used is what counts now. It stays below the largest number.
func (s state) used() (sum int64) {
	for _, n := range s.Lent {
		if sum += n; sum < 0 {
			return 1<<63 - 1
		}
	}
	return sum
}

// lend changes the state as asked, and says what is lent. It debits first: what is lent counts as used.
func (s state) lend(a Ask, now time.Time) Answer {
	minute := now.Unix() / 60
	s.forget(minute)
	p := s.Pods[a.Pod]
	if back := min(max(a.Unused, 0), p.Amount, s.Lent[p.Minute]); back > 0 {
		s.Lent[p.Minute] -= back // into the minute it came from
	}
	if a.Over > 0 {
		s.Lent[minute] = min(s.Lent[minute]+min(a.Over, 1<<62), 1<<62)
	}
	p = pod{Seen: minute, Minute: minute}
	left := max(a.Limit-s.used(), 0)
	answer := Answer{Left: left}
	if a.Want > 0 && a.Want <= left {
		answer.Granted = s.part(a, left, minute)
		s.Lent[minute] += answer.Granted
		p.Amount = answer.Granted
		answer.Left -= answer.Granted
	}
	if answer.Granted == 0 {
		answer.Retry = s.retry(a, now)
	}
	s.know(a.Pod, p)
	return answer
}

// part is the size of a lease. The smaller it is, the less lies idle with pods that need no more of it.
func (s state) part(a Ask, left, minute int64) int64 {
	pods := int64(1)
	for uid, p := range s.Pods {
		if uid != a.Pod && minute-p.Seen <= near {
			pods++
		}
	}
	n := min(a.Limit/leaseParts, left/(sharedParts*pods))
	return min(max(n, a.Limit/leaseFloor, a.Want), left)
}

// retry is when enough comes free, if nobody is lent anything before.
func (s state) retry(a Ask, now time.Time) time.Duration {
	short := s.used() + a.Want - a.Limit
	for _, m := range slices.Sorted(maps.Keys(s.Lent)) {
		if short -= s.Lent[m]; short <= 0 {
			return max(time.Unix((m+counted+1)*60, 0).Sub(now), 0)
		}
	}
	return time.Hour // it never fits
}

// know notes a pod, in the place of the one that was seen longest ago if need be.
func (s state) know(uid string, p pod) {
	if _, known := s.Pods[uid]; !known && len(s.Pods) >= maxPods {
		oldest := ""
		for u, o := range s.Pods {
			if oldest == "" || o.Seen < s.Pods[oldest].Seen || o.Seen == s.Pods[oldest].Seen && u < oldest {
				oldest = u
			}
		}
		delete(s.Pods, oldest)
	}
	s.Pods[uid] = p
}
