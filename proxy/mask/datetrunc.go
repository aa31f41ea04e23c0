package mask

import (
	"bytes"
	"encoding/binary"
	"math"
	"strconv"
)

// trunc rounds dates and timestamps down. Timestamps with time zone are rounded in UTC and shown in UTC, in both formats: rounding in the
// session's zone would let the offset, which follows daylight saving time, tell summer from winter. Infinity stays.
type trunc struct {
	class    class
	unit     unit
	redacted *constant
}

// newTrunc returns the masker of a date or timestamp. For a date, Day and Hour keep the whole date.
func newTrunc(c class, to string, redacted *constant) Masker {
	u, ok := parseUnit(to)
	if !ok || c != classDate && c != classTimestamp && c != classTimestamptz {
		return redacted
	}
	return &trunc{class: c, unit: u, redacted: redacted}
}

func (m *trunc) redaction() *constant { return m.redacted }

func (m *trunc) Append(dst, value []byte, f Format) ([]byte, bool) {
	start := len(dst)
	ok := false
	switch {
	case f == Text:
		dst, ok = m.appendText(dst, value)
	case f == Binary && m.class == classDate:
		dst, ok = m.appendDate(dst, value)
	case f == Binary:
		dst, ok = m.appendTimestamp(dst, value)
	}
	if !ok {
		return m.redacted.Append(dst[:start], value, f)
	}
	return dst, false
}

// appendDate masks days since 2000-01-01, whose extremes mean infinity.
func (m *trunc) appendDate(dst, value []byte) ([]byte, bool) {
	if len(value) != 4 {
		return dst, false
	}
	days := int32(binary.BigEndian.Uint32(value))
	if days != math.MinInt32 && days != math.MaxInt32 {
		cut := m.unit.truncDays(int64(days))
		if cut <= math.MinInt32 {
			return dst, false
		}
		days = int32(cut)
	}
	return binary.BigEndian.AppendUint32(dst, uint32(days)), true
}

// The bounds of a timestamp, 4714-11-24 BC and 294277-01-01, in microseconds since 2000-01-01.
const (
	minMicros = -211_813_488_000_000_000
	maxMicros = 9_223_371_331_200_000_000
)

// appendTimestamp masks microseconds since 2000-01-01, whose extremes mean infinity.
func (m *trunc) appendTimestamp(dst, value []byte) ([]byte, bool) {
	if len(value) != 8 {
		return dst, false
	}
	micros := int64(binary.BigEndian.Uint64(value))
	if micros != math.MinInt64 && micros != math.MaxInt64 {
		if micros < minMicros || micros >= maxMicros {
			return dst, false
		}
		micros = max(m.unit.truncMicros(micros), minMicros)
	}
	return binary.BigEndian.AppendUint64(dst, uint64(micros)), true
}

// appendText masks the ISO output form. Any other DateStyle is not understood.
func (m *trunc) appendText(dst, value []byte) ([]byte, bool) {
	switch string(value) {
	case "infinity", "-infinity":
		return append(dst, value...), true
	}
	value, bc := bytes.CutSuffix(value, []byte(" BC"))
	date, rest, ok := parseDate(value, bc)
	if !ok {
		return dst, false
	}
	if m.class == classDate {
		if len(rest) > 0 {
			return dst, false
		}
		return m.appendCivil(dst, m.unit.truncDays(date.days()), -1), true
	}
	micros, ok := parseTime(rest, m.class == classTimestamptz)
	days := date.days()
	if !ok || days < minMicros/microsPerDay-1 || days > maxMicros/microsPerDay {
		return dst, false
	}
	micros += days * microsPerDay
	if micros < minMicros || micros >= maxMicros {
		return dst, false
	}
	micros = max(m.unit.truncMicros(micros), minMicros)
	days = floorDiv(micros, microsPerDay)
	return m.appendCivil(dst, days, (micros-days*microsPerDay)/microsPerHour), true
}

// appendCivil appends the output form of a day, and of an hour unless that is negative.
func (m *trunc) appendCivil(dst []byte, days, hour int64) []byte {
	c := civilOf(days)
	year, bc := c.year, c.year <= 0
	if bc {
		year = 1 - year
	}
	dst = appendPadded(dst, year, 4)
	dst = appendPadded(append(dst, '-'), c.month, 2)
	dst = appendPadded(append(dst, '-'), c.day, 2)
	if hour >= 0 {
		dst = appendPadded(append(dst, ' '), hour, 2)
		dst = append(dst, ":00:00"...)
	}
	if m.class == classTimestamptz {
		dst = append(dst, "+00"...)
	}
	if bc {
		dst = append(dst, " BC"...)
	}
	return dst
}

// appendPadded appends a number of at least width digits.
func appendPadded(dst []byte, n int64, width int) []byte {
	const zeroDigits = "000"
	for limit := int64(10); width > 1; width-- {
		if n < limit {
			dst = append(dst, zeroDigits[:width-1]...)
			break
		}
		limit *= 10
	}
	return strconv.AppendInt(dst, n, 10)
}
