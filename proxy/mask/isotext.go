package mask

import "bytes"

// daysInMonth holds the most days that a month may have.
var daysInMonth = [...]int64{1: 31, 2: 29, 3: 31, 4: 30, 5: 31, 6: 30, 7: 31, 8: 31, 9: 30, 10: 31, 11: 30, 12: 31}

// parseDate reads year-month-day at the front of s; bc says that the year counts backwards.
func parseDate(s []byte, bc bool) (date civil, rest []byte, ok bool) {
	if date.year, s, ok = number(s, 4, 7); !ok || date.year == 0 {
		return date, nil, false
	}
	if bc {
		date.year = 1 - date.year
	}
	if date.month, s, ok = field(s, '-', 12); !ok || date.month == 0 {
		return date, nil, false
	}
	if date.day, s, ok = field(s, '-', daysInMonth[date.month]); !ok || date.day == 0 {
		return date, nil, false
	}
	return date, s, true
}

// parseTime reads " hours:minutes:seconds" with up to six decimals and, if zone is set, the offset from UTC; nothing may follow. It returns
// microseconds since midnight, in UTC if there is an offset.
func parseTime(s []byte, zone bool) (micros int64, ok bool) {
	var hours, minutes, seconds int64
	if hours, s, ok = field(s, ' ', 23); !ok {
		return 0, false
	}
	if minutes, s, ok = field(s, ':', 59); !ok {
		return 0, false
	}
	if seconds, s, ok = field(s, ':', 59); !ok {
		return 0, false
	}
	fraction, s, ok := parseFraction(s)
	if !ok {
		return 0, false
	}
	var offset int64
	if zone {
		if offset, s, ok = parseOffset(s); !ok {
			return 0, false
		}
	}
	return ((hours*60+minutes)*60+seconds-offset)*microsPerSecond + fraction, len(s) == 0
}

// parseFraction reads a decimal point with up to six digits, if there is one, as microseconds.
func parseFraction(s []byte) (micros int64, rest []byte, ok bool) {
	digits, found := bytes.CutPrefix(s, []byte("."))
	if !found {
		return 0, s, true
	}
	micros, rest, ok = number(digits, 1, 6)
	for n := len(digits) - len(rest); n < 6; n++ {
		micros *= 10
	}
	return micros, rest, ok
}

// parseOffset reads a sign, hours and, where they are not zero, minutes and seconds. East of Greenwich is positive. The result is in seconds.
func parseOffset(s []byte) (seconds int64, rest []byte, ok bool) {
	if len(s) == 0 || s[0] != '+' && s[0] != '-' {
		return 0, nil, false
	}
	negative := s[0] == '-'
	if seconds, s, ok = field(s, s[0], 23); !ok {
		return 0, nil, false
	}
	seconds *= 3600
	for _, scale := range [...]int64{60, 1} {
		if len(s) == 0 || s[0] != ':' {
			break
		}
		var part int64
		if part, s, ok = field(s, ':', 59); !ok {
			return 0, nil, false
		}
		seconds += part * scale
	}
	if negative {
		seconds = -seconds
	}
	return seconds, s, true
}

// field reads a separator and a number of two digits that is no greater than limit.
func field(s []byte, separator byte, limit int64) (n int64, rest []byte, ok bool) {
	if len(s) == 0 || s[0] != separator {
		return 0, nil, false
	}
	n, rest, ok = number(s[1:], 2, 2)
	return n, rest, ok && n <= limit
}

// number reads between least and most digits.
func number(s []byte, least, most int) (n int64, rest []byte, ok bool) {
	i := 0
	for i < len(s) && i < most && '0' <= s[i] && s[i] <= '9' {
		n = n*10 + int64(s[i]-'0')
		i++
	}
	return n, s[i:], i >= least
}
