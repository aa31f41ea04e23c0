package table

import (
	"fmt"
	"strconv"
	"time"
)

// None stands for a value that is not there.
const None = "-"

// Number writes a number with separators: 88,120.
func Number(n int64) string {
	digits := strconv.FormatInt(n, 10)
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// Count says how many there are of something: "1 row", "1,204 rows".
func Count(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return Number(n) + " " + noun + "s"
}

// About writes an estimate: ~12k. What an estimate is good for is its size.
func About(n int64) string {
	switch {
	case n < 1000:
		return "~" + strconv.FormatInt(n, 10)
	case n < 1_000_000:
		return scaled(n, 1000, "k")
	case n < 1_000_000_000:
		return scaled(n, 1_000_000, "M")
	default:
		return scaled(n, 1_000_000_000, "G")
	}
}

func scaled(n, unit int64, suffix string) string {
	if whole := n / unit; whole >= 10 || n%unit == 0 {
		return "~" + Number(whole) + suffix
	}
	return fmt.Sprintf("~%.1f%s", float64(n)/float64(unit), suffix)
}

// Bytes writes a size: 512 B, 3.2 MiB.
func Bytes(n int64) string {
	if n < 1024 {
		return strconv.FormatInt(n, 10) + " B"
	}
	size, unit := float64(n)/1024, 0
	for size >= 1023.95 && unit < len("KMGTPE")-1 {
		size, unit = size/1024, unit+1
	}
	return fmt.Sprintf("%.1f %ciB", size, "KMGTPE"[unit])
}

// Span writes a time span as kubectl does, in its two largest units at most: 42s, 14m, 2h5m, 3d.
func Span(d time.Duration) string {
	switch d = max(d, 0); {
	case d < 2*time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 8*time.Hour:
		if minutes := int(d.Minutes()) % 60; minutes != 0 {
			return fmt.Sprintf("%dh%dm", int(d.Hours()), minutes)
		}
		return fmt.Sprintf("%dh", int(d.Hours()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	default:
		return fmt.Sprintf("%dd", int(d.Hours())/24)
	}
}

// Clock writes a time of day, with the date where that is another one than now's: "14:32:10 UTC".
func Clock(t, now time.Time) string {
	t, now = t.UTC(), now.UTC()
	if t.Format(time.DateOnly) == now.Format(time.DateOnly) {
		return t.Format("15:04:05 UTC")
	}
	return t.Format("2006-01-02 15:04:05 UTC")
}
