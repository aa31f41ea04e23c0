package core

import (
	"bytes"
	"encoding/binary"
	"reflect"
	"testing"
)

// bindBody builds the body of a Bind message.
func bindBody(portal, statement string, formats []int16, params [][]byte, results []int16) []byte {
	b := append(append([]byte(portal), 0), append([]byte(statement), 0)...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(formats)))
	for _, f := range formats {
		b = binary.BigEndian.AppendUint16(b, uint16(f))
	}
	b = binary.BigEndian.AppendUint16(b, uint16(len(params)))
	for _, p := range params {
		if p == nil {
			b = append(b, 0xff, 0xff, 0xff, 0xff)
			continue
		}
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(p))), p...)
	}
	b = binary.BigEndian.AppendUint16(b, uint16(len(results)))
	for _, f := range results {
		b = binary.BigEndian.AppendUint16(b, uint16(f))
	}
	return b
}

// scanInPieces feeds body in pieces of size bytes.
func scanInPieces(body []byte, size int) *bindScan {
	b := &bindScan{}
	for len(body) > 0 {
		p := body[:min(size, len(body))]
		body = body[len(p):]
		for len(p) > 0 {
			used, _ := b.feed(p)
			p = p[used:]
			if b.broken {
				return b
			}
		}
	}
	return b
}

func TestABindIsReadHoweverItIsCut(t *testing.T) {
	big := bytes.Repeat([]byte("x"), 3*maxParameter)
	body := bindBody("p", "s", []int16{0, 1, 0, 0}, [][]byte{[]byte("text"), {1, 2}, nil, big}, []int16{1, 0})
	for _, size := range []int{1, 2, 5, 1000, len(body)} {
		b := scanInPieces(body, size)
		if !b.complete() {
			t.Fatalf("in pieces of %d it was not complete", size)
		}
		if p, s := b.target(); p != "p" || s != "s" {
			t.Errorf("names %q and %q", p, s)
		}
		v := b.parameters
		if v[0].Text != "text" || !bytes.Equal(v[1].Binary, []byte{1, 2}) || !v[2].Null {
			t.Errorf("in pieces of %d the parameters are %+v", size, v[:3])
		}
		if len(v[3].Text) != maxParameter || v[3].Size != int64(len(big)) {
			t.Errorf("in pieces of %d the large one was kept as %d of %d bytes", size, len(v[3].Text), v[3].Size)
		}
		if !reflect.DeepEqual(b.results, []int16{1, 0}) {
			t.Errorf("result formats %v", b.results)
		}
	}
}

func TestABindThatLiesIsNeverComplete(t *testing.T) {
	good := bindBody("", "", []int16{1}, [][]byte{[]byte("abc")}, nil)
	for i := range good {
		if scanInPieces(good[:i], 3).complete() {
			t.Errorf("cut after %d bytes it counts as complete", i)
		}
	}
	if scanInPieces(append(good, 0), 3).complete() {
		t.Error("with a byte too many it counts as complete")
	}
	negative := bytes.Replace(good, []byte{0, 0, 0, 3}, []byte{0xff, 0xff, 0xff, 0xfe}, 1)
	if scanInPieces(negative, 3).complete() {
		t.Error("with a length of -2 it counts as complete")
	}
}

func FuzzBind(f *testing.F) {
	f.Add(bindBody("p", "s", []int16{0}, [][]byte{[]byte("a"), nil}, []int16{1}), 3)
	f.Fuzz(func(t *testing.T, body []byte, size int) {
		one, many := scanInPieces(body, len(body)+1), scanInPieces(body, 1+max(size, -size)%9)
		if one.complete() != many.complete() || !reflect.DeepEqual(one.results, many.results) || !reflect.DeepEqual(one.parameters, many.parameters) {
			t.Fatal("the pieces changed what was read")
		}
	})
}
