package mask_test

import (
	"testing"

	"github.com/tidewaiter/tidewaiter/proxy/mask"
)

func TestStrategiesAreParsedByTheirNames(t *testing.T) {
	for _, s := range []mask.Strategy{mask.Redact, mask.Null, mask.Partial, mask.Hash, mask.DateTrunc, mask.Reveal} {
		if got, err := mask.ParseStrategy(s.String()); err != nil || got != s {
			t.Errorf("ParseStrategy(%q) = %v, %v", s.String(), got, err)
		}
	}
	for _, name := range []string{"", "redact", "Show", "Reveal "} {
		if got, err := mask.ParseStrategy(name); err == nil || got != mask.Redact {
			t.Errorf("ParseStrategy(%q) = %v, %v; want Redact and an error", name, got, err)
		}
	}
}

func TestTheStricterStrategySaysLess(t *testing.T) {
	order := []mask.Strategy{mask.Reveal, mask.Partial, mask.DateTrunc, mask.Hash, mask.Redact, mask.Null}
	for i, weak := range order {
		for _, strict := range order[i:] {
			if got := mask.Stricter(weak, strict); got != strict {
				t.Errorf("Stricter(%v, %v) = %v", weak, strict, got)
			}
			if got := mask.Stricter(strict, weak); got != strict {
				t.Errorf("Stricter(%v, %v) = %v", strict, weak, got)
			}
		}
	}
}

func TestAnUnknownStrategyRedacts(t *testing.T) {
	const unknown = mask.Strategy(200)
	if got := mask.Stricter(unknown, mask.Reveal); got != mask.Redact {
		t.Errorf("Stricter(unknown, Reveal) = %v, want Redact", got)
	}
	expectMask(t, mask.New(builtin(t, oidText), mask.Spec{Strategy: unknown}), "secret", mask.Text, "*****")
}
