package mask

import "fmt"

// Strategy says how much of a value survives masking. The zero value is Redact, the strictest that keeps the type.
type Strategy uint8

const (
	// Redact puts a fixed value of the type in place of the real one.
	Redact Strategy = iota
	// Null puts NULL in place of the value.
	Null
	// Partial keeps some characters, or the domain of an email address. Types other than character strings are redacted.
	Partial
	// Hash puts a keyed hash in place of the value, so that equal values stay equal. Types without a place for a hash are redacted.
	Hash
	// DateTrunc rounds dates and timestamps down to Spec.TruncateTo. Other types are redacted.
	DateTrunc
	// Reveal shows the value.
	Reveal
)

// strategies holds, by Strategy, the name used in policies and the rank in strictness: the higher rank says less about the value.
var strategies = [...]struct {
	name string
	rank int
}{
	Redact:    {"Redact", 4},
	Null:      {"Null", 5},
	Partial:   {"Partial", 1},
	Hash:      {"Hash", 3},
	DateTrunc: {"DateTrunc", 2},
	Reveal:    {"Reveal", 0},
}

// ParseStrategy returns the strategy with the given name, spelled exactly as in a policy: Redact, Null, Partial, Hash, DateTrunc or Reveal.
// On an error the strategy is Redact, so that a caller who drops the error still masks.
func ParseStrategy(name string) (Strategy, error) {
	for s, entry := range strategies {
		if entry.name == name {
			return Strategy(s), nil
		}
	}
	return Redact, fmt.Errorf("unknown mask strategy %q: want Redact, Null, Partial, Hash, DateTrunc or Reveal", name)
}

// String returns the strategy's name as ParseStrategy takes it.
func (s Strategy) String() string { return strategies[s.known()].name }

// known maps a number that names no strategy to Redact.
func (s Strategy) known() Strategy {
	if int(s) >= len(strategies) {
		return Redact
	}
	return s
}

// Stricter returns the one of two strategies that says less about a value, in the order Null, Redact, Hash, DateTrunc, Partial, Reveal.
// A number that names no strategy counts as Redact.
func Stricter(a, b Strategy) Strategy {
	a, b = a.known(), b.known()
	if strategies[b].rank > strategies[a].rank {
		return b
	}
	return a
}

// Spec is a strategy with its settings. The zero Spec redacts.
type Spec struct {
	Strategy Strategy

	// KeepDomain lets Partial keep what follows the last @ where that looks like a domain name: ***@example.org.
	KeepDomain bool
	// KeepFirst and KeepLast are the numbers of characters (Unicode code points) that Partial keeps at each end. Together they never show more
	// than half of the value (or, with KeepDomain, of what stands before the @). Negative counts as 0.
	KeepFirst, KeepLast int

	// TruncateTo is the unit that DateTrunc keeps: Year, Month, Day or Hour. Empty means Year; anything else redacts.
	TruncateTo string

	// Key is the HMAC-SHA256 key of Hash. Without a key Hash redacts, since a bare hash of a short value is found by trying. New copies it.
	Key []byte
}
