package replay

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// numbers is a choice of statements; none means all.
type numbers []span

type span struct{ first, last int64 }

// maxSpans bounds a choice.
const maxSpans = 1000

// parseNumbers reads a choice such as "11-12", "3,8-" or "-5".
func parseNumbers(s string) (numbers, error) {
	if strings.TrimSpace(s) == "" {
		return nil, nil
	}
	var out numbers
	for part := range strings.SplitSeq(s, ",") {
		first, last, ranged := strings.Cut(strings.TrimSpace(part), "-")
		n := span{1, math.MaxInt64}
		ok := parseNumber(first, &n.first, ranged)
		if !ranged {
			n.last = n.first
		} else {
			ok = ok && parseNumber(last, &n.last, first != "")
		}
		if !ok || n.first > n.last || len(out) == maxSpans {
			return nil, fmt.Errorf("replay: %q does not choose statements; write for example 12, 11-12 or 3,8-", s)
		}
		out = append(out, n)
	}
	return out, nil
}

// parseNumber reads a statement's number into n, which keeps its value where s is
// empty and may be.
func parseNumber(s string, n *int64, mayBeEmpty bool) bool {
	if s == "" {
		return mayBeEmpty
	}
	v, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64)
	*n = v
	return err == nil && v > 0
}

func (n numbers) all() bool { return n == nil }

func (n numbers) has(number int64) bool {
	for _, s := range n {
		if s.first <= number && number <= s.last {
			return true
		}
	}
	return n == nil
}
