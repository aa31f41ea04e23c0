package mask_test

import (
	"encoding/binary"
	"testing"

	"github.com/tidewaiter/tidewaiter/proxy/mask"
	"github.com/tidewaiter/tidewaiter/test/postgrestest"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

// OIDs of built-in types that tests use.
const (
	oidBool        = 16
	oidBytea       = 17
	oidInt8        = 20
	oidInt2        = 21
	oidInt4        = 23
	oidText        = 25
	oidBoxArray    = 1020
	oidInt4Array   = 1007
	oidTextArray   = 1009
	oidBpchar      = 1042
	oidVarchar     = 1043
	oidDate        = 1082
	oidTimestamp   = 1114
	oidTimestamptz = 1184
	oidRecord      = 2249
	oidUUID        = 2950
)

// null is how tests write that a mask is NULL.
const null = "<null>"

// builtin returns a built-in type that must exist.
func builtin(t testing.TB, oid uint32) *mask.Type {
	t.Helper()
	typ, ok := mask.Builtin(oid)
	if !ok {
		t.Fatalf("there is no built-in type %d", oid)
	}
	return typ
}

// apply returns the masked form of a value, behind a prefix that must survive.
func apply(t testing.TB, m mask.Masker, value string, f mask.Format) string {
	t.Helper()
	const before = "before"
	out, isNull := m.Append([]byte(before), []byte(value), f)
	if string(out[:len(before)]) != before {
		t.Fatalf("Append changed what was in dst: %q", out)
	}
	if isNull {
		if len(out) != len(before) {
			t.Fatalf("Append said NULL and yet appended %q", out[len(before):])
		}
		return null
	}
	return string(out[len(before):])
}

// expectMask fails the test unless value is masked as want.
func expectMask(t *testing.T, m mask.Masker, value string, f mask.Format, want string) {
	t.Helper()
	if got := apply(t, m, value, f); got != want {
		t.Errorf("%q in format %d became %q, want %q", value, f, got, want)
	}
}

func be16(n int16) string { return string(binary.BigEndian.AppendUint16(nil, uint16(n))) }

func be32(n int32) string { return string(binary.BigEndian.AppendUint32(nil, uint32(n))) }

func be64(n int64) string { return string(binary.BigEndian.AppendUint64(nil, uint64(n))) }

// item is an element or field in binary form.
func item(value string) string { return be32(int32(len(value))) + value }

const nullItem = "\xff\xff\xff\xff"
