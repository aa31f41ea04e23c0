package mask_test

import (
	"testing"

	"github.com/tidewaiter/tidewaiter/proxy/mask"
)

func TestDateTruncRoundsDown(t *testing.T) {
	for _, c := range []struct {
		oid         uint32
		to          string
		value, want string
	}{
		{oidDate, "Year", "1990-05-06", "1990-01-01"},
		{oidDate, "", "1990-05-06", "1990-01-01"},
		{oidDate, "Month", "1990-05-06", "1990-05-01"},
		{oidDate, "Day", "1990-05-06", "1990-05-06"},
		{oidDate, "Month", "0044-03-15 BC", "0044-03-01 BC"},
		{oidDate, "Year", "5874897-12-31", "5874897-01-01"},
		{oidDate, "Year", "infinity", "infinity"},
		{oidTimestamp, "Hour", "1990-05-06 07:08:09.123456", "1990-05-06 07:00:00"},
		{oidTimestamp, "Day", "1990-05-06 07:08:09", "1990-05-06 00:00:00"},
		{oidTimestamp, "Year", "-infinity", "-infinity"},
		{oidTimestamptz, "Hour", "1990-05-06 07:08:09+05:30", "1990-05-06 01:00:00+00"},
		{oidTimestamptz, "Year", "2024-01-01 00:30:00+02", "2023-01-01 00:00:00+00"},
		{oidTimestamptz, "Day", "1900-01-01 23:59:59-03:06:28", "1900-01-02 00:00:00+00"},
	} {
		m := mask.New(builtin(t, c.oid), mask.Spec{Strategy: mask.DateTrunc, TruncateTo: c.to})
		expectMask(t, m, c.value, mask.Text, c.want)
	}
}

func TestTheOffsetFromUTCDoesNotTellTheSeason(t *testing.T) {
	m := mask.New(builtin(t, oidTimestamptz), mask.Spec{Strategy: mask.DateTrunc, TruncateTo: "Year"})
	expectMask(t, m, "2024-07-01 12:00:00+02", mask.Text, apply(t, m, "2024-12-01 12:00:00+01", mask.Text))
}

func TestDateTruncRedactsWhatItDoesNotUnderstand(t *testing.T) {
	for _, c := range []struct {
		oid    uint32
		to     string
		format mask.Format
		value  string
		want   string
	}{
		{oidDate, "Week", mask.Text, "1990-05-06", "1970-01-01"},
		{oidDate, "Year", mask.Text, "06.05.1990", "1970-01-01"},
		{oidDate, "Year", mask.Text, "05/06/1990", "1970-01-01"},
		{oidDate, "Year", mask.Text, "1990-13-06", "1970-01-01"},
		{oidDate, "Year", mask.Text, "1990-02-30", "1970-01-01"},
		{oidDate, "Year", mask.Text, "1990-05-06 ", "1970-01-01"},
		{oidDate, "Year", mask.Text, "0000-05-06", "1970-01-01"},
		{oidDate, "Year", mask.Text, "", "1970-01-01"},
		{oidDate, "Year", mask.Binary, be64(0), be32(-10957)},
		{oidDate, "Year", mask.Binary, be32(-1<<31 + 1), be32(-10957)},
		{oidTimestamp, "Year", mask.Text, "Sun May 06 07:08:09 1990", "1970-01-01 00:00:00"},
		{oidTimestamp, "Year", mask.Text, "1990-05-06", "1970-01-01 00:00:00"},
		{oidTimestamp, "Year", mask.Text, "1990-05-06 07:08:09+02", "1970-01-01 00:00:00"},
		{oidTimestamp, "Year", mask.Text, "9999999-05-06 07:08:09", "1970-01-01 00:00:00"},
		{oidTimestamp, "Year", mask.Text, "1990-05-06 07:08:09.1234567", "1970-01-01 00:00:00"},
		{oidTimestamptz, "Year", mask.Text, "1990-05-06 07:08:09", "1970-01-01 00:00:00+00"},
		{oidTimestamp, "Year", mask.Binary, be64(1<<63 - 2), be64(-946684800000000)},
		{oidTimestamp, "Year", mask.Binary, "", be64(-946684800000000)},
		{1083, "Hour", mask.Text, "07:08:09", "00:00:00"},
		{oidText, "Year", mask.Text, "1990-05-06", "*****"},
	} {
		m := mask.New(builtin(t, c.oid), mask.Spec{Strategy: mask.DateTrunc, TruncateTo: c.to})
		expectMask(t, m, c.value, c.format, c.want)
	}
}
