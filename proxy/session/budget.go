package session

import (
	"sync"
	"time"
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
// minute, and keeps each subject's probes of that time. The zero value is ready; it is safe for concurrent use.
type Budgets struct {
	mu     sync.Mutex
	byKey  map[string]*window
	pruned int64

	probes hours
}

type window struct {
	minute [60]int64 // which minute since 1970 a bucket holds
	rows   [60]int64
	bytes  [60]int64
}

// Spend accounts for rows and bytes under key if both hourly bounds (0: none)
// still hold with them, and otherwise says which does not.
func (b *Budgets) Spend(key string, now time.Time, rows, bytes, maxRows, maxBytes int64) Spent {
	b.mu.Lock()
	defer b.mu.Unlock()
	minute := now.Unix() / 60
	w := b.window(key, minute)
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
	i := minute % 60
	if w.minute[i] != minute {
		w.minute[i], w.rows[i], w.bytes[i] = minute, 0, 0
	}
	w.rows[i] += rows
	w.bytes[i] += bytes
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

func (w *window) used(minute int64) (rows, bytes int64) {
	for i, m := range w.minute {
		if minute-m < 60 {
			rows += w.rows[i]
			bytes += w.bytes[i]
		}
	}
	return rows, bytes
}
