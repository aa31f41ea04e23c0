package mask_test

import (
	"testing"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/tidewaiter/tidewaiter/proxy/mask"
)

// undecodable are types whose redaction pgtype does not read, with the reason.
var undecodable = map[uint32]string{
	oidRecord: "the type record has no fields to decode without its query",
	2287:      "neither have arrays of it",
}

func TestDriversDecodeEveryRedaction(t *testing.T) {
	types := pgtype.NewMap()
	tried := 0
	for oid := range uint32(16384) {
		codec, known := types.TypeForOID(oid)
		if !known || undecodable[oid] != "" {
			continue
		}
		m := mask.New(builtin(t, oid), mask.Spec{})
		for _, format := range []mask.Format{mask.Text, mask.Binary} {
			if !codec.Codec.FormatSupported(int16(format)) {
				continue
			}
			out, isNull := m.Append(nil, []byte("anything"), format)
			if isNull {
				continue
			}
			tried++
			if _, err := codec.Codec.DecodeValue(types, oid, int16(format), out); err != nil {
				t.Errorf("%s in format %d: %q is not decoded: %v", codec.Name, format, out, err)
			}
		}
	}
	if tried < 200 {
		t.Errorf("only %d masks were tried; the loop above misses types", tried)
	}
}
