package core

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/mask"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/wire"
)

const (
	batchRows     = 256      // rows recorded at a time
	batchBytes    = 64 << 10 // or bytes
	recordedValue = 4 << 10  // bytes kept of one value
)

// recordRow adds a row, as the client gets it, to the recording.
func (c *Conn) recordRow(a *answer, plan *rowPlan, body []byte) error {
	r := wire.Reader{Rest: body}
	values := make([]access.Value, int(uint16(r.Int16())))
	for i := range values {
		size := r.Int32()
		if size < 0 {
			values[i].Null = true
		} else {
			v := r.Bytes(int(size))
			if i < len(plan.unrecorded) && plan.unrecorded[i] {
				values[i].Masked = true
				continue
			}
			values[i] = recorded(v, plan.field(i))
		}
		values[i].Masked = plan.masking && i < len(plan.masks) && plan.masks[i] != nil
	}
	return c.addRow(a, plan, values)
}

func (p *rowPlan) field(i int) wire.Field {
	if i < len(p.fields) {
		return p.fields[i]
	}
	return wire.Field{Format: 1} // never described: bytes are all that is known
}

func (c *Conn) addRow(a *answer, plan *rowPlan, values []access.Value) error {
	if plan.batch == nil {
		plan.batch = &access.Rows{}
		if plan.batched == 0 {
			plan.batch.Columns = plan.columns()
		}
	}
	for i := range values {
		plan.batched += len(values[i].Text) + len(values[i].Binary) + 16
	}
	plan.batch.Values = append(plan.batch.Values, values)
	if len(plan.batch.Values) >= batchRows || plan.batched >= batchBytes {
		return c.flushRows(a)
	}
	return nil
}

// flushRows hands rows that wait to the recorder, which may make the result wait.
func (c *Conn) flushRows(a *answer) error {
	p := a.plan
	if p != nil && p.digest != nil {
		return c.flushDigest(a, p)
	}
	if p == nil || p.batch == nil {
		return nil
	}
	batch := p.batch
	p.batch, p.batched = nil, 1 // columns are told once
	return a.exchange.Result(batch)
}

func (p *rowPlan) columns() []access.Column {
	out := make([]access.Column, len(p.fields))
	for i, f := range p.fields {
		out[i].Name = f.Name
		if t, ok := mask.Builtin(f.Type); ok {
			out[i].Type = t.Name
		}
		if p.masking && p.masks[i] != nil {
			out[i].Masked = "masked"
		}
	}
	return out
}

// recorded is a value as the recording keeps it: text, where the type's binary
// form is simple to read, otherwise bytes.
func recorded(v []byte, f wire.Field) access.Value {
	var out access.Value
	if len(v) > recordedValue {
		out.Size, v = int64(len(v)), v[:recordedValue]
	}
	if f.Format == 0 {
		out.Text = string(v)
		return out
	}
	if text, ok := readable(v, f.Type); ok && out.Size == 0 {
		out.Text = text
		return out
	}
	out.Binary = append([]byte(nil), v...)
	return out
}

// readable renders the binary form of the commonest types (OIDs of pg_type.dat).
func readable(v []byte, typeOID uint32) (string, bool) {
	switch typeOID {
	case 18, 19, 25, 114, 142, 1042, 1043: // "char", name, text, json, xml, bpchar, varchar
		return string(v), true
	case 16: // bool
		if len(v) == 1 {
			return strconv.FormatBool(v[0] != 0), true
		}
	case 2950: // uuid
		if len(v) == 16 {
			return fmt.Sprintf("%x-%x-%x-%x-%x", v[:4], v[4:6], v[6:8], v[8:10], v[10:]), true
		}
	}
	switch {
	case typeOID == 21 && len(v) == 2: // int2
		return strconv.Itoa(int(int16(binary.BigEndian.Uint16(v)))), true
	case typeOID == 23 && len(v) == 4: // int4
		return strconv.Itoa(int(int32(binary.BigEndian.Uint32(v)))), true
	case typeOID == 26 && len(v) == 4: // oid
		return strconv.FormatUint(uint64(binary.BigEndian.Uint32(v)), 10), true
	case typeOID == 20 && len(v) == 8: // int8
		return strconv.FormatInt(int64(binary.BigEndian.Uint64(v)), 10), true
	case typeOID == 700 && len(v) == 4: // float4
		return strconv.FormatFloat(float64(math.Float32frombits(binary.BigEndian.Uint32(v))), 'g', -1, 32), true
	case typeOID == 701 && len(v) == 8: // float8
		return strconv.FormatFloat(math.Float64frombits(binary.BigEndian.Uint64(v)), 'g', -1, 64), true
	}
	return "", false
}
