package session

import (
	"sync"
	"time"

	"github.com/tidewaiter/tidewaiter/proxy/access"
)

// Spent says which hourly bound was reached.
type Spent uint8

// The outcomes of Budgets.Spend.
const (
	SpentNothing Spent = iota
	SpentRows
	SpentBytes
)

// maxBudgets bounds how many subjects and rules are counted at a time. Past it a
// new one is refused as spent: forgetting one would hand its hour back.
const maxBudgets = 4096

// Budgets counts rows and bytes by key over the last 60 minutes, in buckets of a
// minute, and keeps each subject's probes of that time; or, with a [Lender], draws on
// parts of budgets that others count. The zero value is ready; it is safe for concurrent use.
type Budgets struct {
	mu     sync.Mutex
	byKey  map[string]*window
	pruned int64

	lender Lender
	leases map[leaseKey]*lease

	probes hours
	drip   drip
}

// window is one local budget. Everything about it is guarded by Budgets.mu.
type window struct {
	minute [60]int64 // which minute since 1970 a bucket holds
	rows   [60]int64
	bytes  [60]int64

	at                int64 // the minute that the sums are of
	sumRows, sumBytes int64
	gone              bool // it is no longer in byKey
}

// hourly is what an exchange keeps of its budgets, so that nothing has to be looked up for each row.
type hourly struct {
	key    string
	window *window
	lease  [2]*lease // of rows, of bytes
	sipped int64     // see sip
}

// Spend accounts for rows and bytes under key if both hourly bounds (0: none)
// still hold with them, and otherwise says which does not.
func (b *Budgets) Spend(key string, now time.Time, rows, bytes, maxRows, maxBytes int64) Spent {
	return b.spend(&hourly{key: key}, now, rows, bytes, maxRows, maxBytes)
}

func (b *Budgets) spend(h *hourly, now time.Time, rows, bytes, maxRows, maxBytes int64) Spent {
	b.mu.Lock()
	defer b.mu.Unlock()
	minute := now.Unix() / 60
	if h.window == nil || h.window.gone {
		h.window = b.window(h.key, minute)
	}
	w := h.window
	if w == nil {
		return SpentRows
	}
	usedRows, usedBytes := w.used(minute)
	if maxRows > 0 && usedRows+rows > maxRows {
		return SpentRows
	}
	if maxBytes > 0 && usedBytes+bytes > maxBytes {
		return SpentBytes
	}
	w.add(minute, rows, bytes)
	return SpentNothing
}

func (b *Budgets) window(key string, minute int64) *window {
	if w := b.byKey[key]; w != nil {
		return w
	}
	if b.byKey == nil {
		b.byKey = map[string]*window{}
	}
	if len(b.byKey) >= maxBudgets && b.pruned != minute {
		b.pruned = minute
		for k, w := range b.byKey {
			if r, n := w.used(minute); r == 0 && n == 0 {
				w.gone = true
				delete(b.byKey, k)
			}
		}
	}
	if len(b.byKey) >= maxBudgets {
		return nil
	}
	w := &window{}
	b.byKey[key] = w
	return w
}

// used is what the window holds; it is added up once a minute.
func (w *window) used(minute int64) (rows, bytes int64) {
	if w.at == minute {
		return w.sumRows, w.sumBytes
	}
	w.at, w.sumRows, w.sumBytes = minute, 0, 0
	for i, m := range w.minute {
		if minute-m < 60 {
			w.sumRows += w.rows[i]
			w.sumBytes += w.bytes[i]
		}
	}
	return w.sumRows, w.sumBytes
}

// add counts in the minute that used was asked about.
func (w *window) add(minute, rows, bytes int64) {
	i := ((minute % 60) + 60) % 60
	if w.minute[i] != minute {
		w.minute[i], w.rows[i], w.bytes[i] = minute, 0, 0
	}
	w.rows[i] += rows
	w.bytes[i] += bytes
	w.sumRows += rows
	w.sumBytes += bytes
}

// withinHour draws on the exchange's hourly budgets, or says which is short. A budget that a person has lifted is counted
// and never short.
func (x *Exchange) withinHour(l *access.Limits, rows, bytes int64) Spent {
	b := x.s.p.Budgets
	maxRows, maxBytes := l.RowsPerHour, l.BytesPerHour
	if x.hour.key == "" {
		x.hour.key = x.s.identity.Subject() + "|" + l.Policy + "|" + l.Rule
	}
	if b.lent() {
		return b.draw(x, l, rows, bytes)
	}
	if x.lifted.has(liftRowsPerHour) {
		maxRows = 0
	}
	if x.lifted.has(liftBytesPerHour) {
		maxBytes = 0
	}
	return b.spend(&x.hour, x.s.p.now(), rows, bytes, maxRows, maxBytes)
}
