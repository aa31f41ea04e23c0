package session

import (
	"time"

	"github.com/tidewaiter/tidewaiter/proxy/access"
)

// Who reads protected data slowly enough stays below every limit, and gets it all in the end. What gives that away is that it
// goes on: ordinary work comes in bursts, and has no reason to keep near the limit of its hour.
const (
	// dripUsed is the share of an hourly budget, in percent, from which on reading counts as near the limit. Below it a day's
	// work may well stay; above it, a workload that is not trying to use the hour up would run into its limit now and then,
	// and have its limit raised.
	dripUsed = 80
	// dripRaised is in how many of the last 60 minutes protected data has to be read so. A report that takes a quarter of an
	// hour does not do that, and neither does one at every full hour.
	dripRaised = 30
	// dripCalm is below how many such minutes it is over, so that it does not come and go.
	dripCalm = 15
)

// drip notes minutes in which protected data was read near the limit. It is guarded by Budgets.mu; its zero value is ready.
type drip struct {
	minute [60]int64
	since  time.Time // when it was raised; zero: it is not
}

func (d *drip) note(minute int64) { d.minute[((minute%60)+60)%60] = minute }

func (d *drip) count(minute int64) (n int) {
	for _, m := range d.minute {
		if m != 0 && minute-m < 60 {
			n++
		}
	}
	return n
}

// sip notes that an exchange has drawn on its budgets, if it reads protected data and one of them is nearly used up. It looks
// once a minute for each exchange.
func (x *Exchange) sip(l *access.Limits) {
	if x.touches == 0 {
		return
	}
	minute := x.s.p.now().Unix() / 60
	if x.hour.sipped == minute {
		return
	}
	x.hour.sipped = minute
	b := x.s.p.Budgets
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.nearly(x, l, minute) {
		b.drip.note(minute)
	}
}

// nearly reports whether a budget that the exchange draws on is nearly used up. b.mu is held.
func (b *Budgets) nearly(x *Exchange, l *access.Limits, minute int64) bool {
	near := func(used, limit int64) bool { return limit > 0 && float64(used)*100 >= float64(limit)*dripUsed }
	if b.lent() {
		for _, lease := range x.hour.lease {
			if lease != nil && near(lease.limit-lease.pool, lease.limit) {
				return true
			}
		}
		return false
	}
	if x.hour.window == nil {
		return false
	}
	rows, bytes := x.hour.window.used(minute)
	return near(rows, l.RowsPerHour) || near(bytes, l.BytesPerHour)
}

// SlowDrip returns since when protected data is read in a way that adds up to all of it: near the limit of its hour, in at
// least half of the minutes of an hour. The zero time means that it is not.
func (b *Budgets) SlowDrip(now time.Time) time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch n := b.drip.count(now.Unix() / 60); {
	case n >= dripRaised && b.drip.since.IsZero():
		b.drip.since = now
	case n < dripCalm:
		b.drip.since = time.Time{}
	}
	return b.drip.since
}
