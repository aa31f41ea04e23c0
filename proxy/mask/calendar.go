package mask

// PostgreSQL counts days in the proleptic Gregorian calendar from 2000-01-01 and time in microseconds from there.
const (
	microsPerSecond = int64(1_000_000)
	microsPerHour   = 3600 * microsPerSecond
	microsPerDay    = 24 * microsPerHour

	epochYear   = 2000
	marchFirst  = 60     // days from 2000-01-01 to 2000-03-01, where an era begins
	yearsPerEra = 400    // after which the calendar repeats
	daysPerEra  = 146097 // in those years
)

// civil is a date; year 0 is 1 BC.
type civil struct {
	year       int64
	month, day int64
}

// floorDiv divides, rounding down.
func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// days returns the number of days from 2000-01-01 to the date. Years are taken to begin in March, so that the leap day is their last.
func (c civil) days() int64 {
	year, month := c.year-epochYear, c.month-3
	if month < 0 {
		year, month = year-1, month+12
	}
	era := floorDiv(year, yearsPerEra)
	inEra := year - era*yearsPerEra
	inYear := (153*month+2)/5 + c.day - 1
	return era*daysPerEra + inEra*365 + inEra/4 - inEra/100 + inYear + marchFirst
}

// civilOf is the inverse of days.
func civilOf(days int64) civil {
	days -= marchFirst
	era := floorDiv(days, daysPerEra)
	inEra := days - era*daysPerEra
	year := (inEra - inEra/1460 + inEra/36524 - inEra/146096) / 365
	inYear := inEra - (365*year + year/4 - year/100)
	month := (5*inYear + 2) / 153
	c := civil{year: year + era*yearsPerEra + epochYear, month: month + 3, day: inYear - (153*month+2)/5 + 1}
	if c.month > 12 {
		c.year, c.month = c.year+1, c.month-12
	}
	return c
}

// unit is what DateTrunc keeps.
type unit uint8

const (
	unitYear unit = iota
	unitMonth
	unitDay
	unitHour
)

// parseUnit reads Spec.TruncateTo.
func parseUnit(name string) (unit, bool) {
	switch name {
	case "Year", "":
		return unitYear, true
	case "Month":
		return unitMonth, true
	case "Day":
		return unitDay, true
	case "Hour":
		return unitHour, true
	default:
		return unitYear, false
	}
}

// truncDays rounds a date down to a unit.
func (u unit) truncDays(days int64) int64 {
	if u >= unitDay {
		return days
	}
	c := civilOf(days)
	c.day = 1
	if u == unitYear {
		c.month = 1
	}
	return c.days()
}

// truncMicros rounds a time stamp down to a unit.
func (u unit) truncMicros(micros int64) int64 {
	if u == unitHour {
		return floorDiv(micros, microsPerHour) * microsPerHour
	}
	return u.truncDays(floorDiv(micros, microsPerDay)) * microsPerDay
}
