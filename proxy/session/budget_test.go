package session

import (
	"fmt"
	"testing"
	"time"
)

func TestAnHourIsSpentAndComesBack(t *testing.T) {
	var b Budgets
	start := time.Unix(1_800_000_000, 0)
	steps := []struct {
		name        string
		after       time.Duration
		rows, bytes int64
		want        Spent
	}{
		{"within both", 0, 60, 100, SpentNothing},
		{"too many rows", 0, 41, 1, SpentRows},
		{"the refused rows were not counted", 0, 40, 1, SpentNothing},
		{"still full 59 minutes later", 59 * time.Minute, 1, 1, SpentRows},
		{"free again after the hour", 60 * time.Minute, 100, 1, SpentNothing},
		{"too many bytes", 121 * time.Minute, 1, 1001, SpentBytes},
	}
	for _, s := range steps {
		if got := b.Spend("k", start.Add(s.after), s.rows, s.bytes, 100, 1000); got != s.want {
			t.Errorf("%s: got %d, want %d", s.name, got, s.want)
		}
	}
}

func TestBudgetsAreBoundedAndFailClosed(t *testing.T) {
	var b Budgets
	now := time.Unix(1_800_000_000, 0)
	for i := range maxBudgets {
		b.Spend(fmt.Sprint(i), now, 1, 0, 10, 0)
	}
	if got := b.Spend("one more", now, 1, 0, 10, 0); got != SpentRows {
		t.Errorf("with every place taken: got %d, want a refusal", got)
	}
	if got := b.Spend("one more", now.Add(61*time.Minute), 1, 0, 10, 0); got != SpentNothing {
		t.Errorf("an hour later: got %d, want room", got)
	}
}
