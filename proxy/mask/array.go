package mask

import "encoding/binary"

// maxDims is the most dimensions that PostgreSQL gives an array (MAXDIM in c.h).
const maxDims = 6

// array masks the elements of an array one by one. Its output has the array's dimensions, with every lower bound reset to 1, since a bound
// can be any number.
type array struct {
	elem    Masker
	elemOID uint32
	empty   *constant
}

// array returns the masker of an array type. Where all elements would have the same mask, the array is emptied instead. So it is under Full,
// whatever the strategy: array_fill(0, ARRAY[secret]) tells by its length.
func (c compiler) array(t *Type, s Spec) Masker {
	empty := emptyArray(t.Elem)
	if t.Elem == nil || c.full || s.Strategy == Redact {
		return empty
	}
	elem := c.compile(t.Elem, s)
	switch elem.(type) {
	case reveal:
		return elem
	case *constant:
		return empty
	}
	return &array{elem: elem, elemOID: t.Elem.OID, empty: empty}
}

// emptyArray returns an array without dimensions.
func emptyArray(elem *Type) *constant {
	oid := uint32(oidText)
	if elem != nil {
		oid = elem.OID
	}
	return &constant{text: "{}", binary: string(arrayHeader(nil, 0, oid))}
}

// arrayHeader appends number of dimensions, flags (none) and element type, the start of array_send's output.
func arrayHeader(dst []byte, dims int, elem uint32) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(dims))
	dst = append(dst, zeros[:4]...)
	return binary.BigEndian.AppendUint32(dst, elem)
}

func (m *array) redaction() *constant { return m.empty }

func (m *array) Append(dst, value []byte, f Format) ([]byte, bool) {
	start, ok := len(dst), false
	switch f {
	case Text:
		dst, ok = m.appendText(dst, value)
	case Binary:
		dst, ok = m.appendBinary(dst, value)
	}
	if !ok {
		return m.empty.Append(dst[:start], nil, f)
	}
	return dst, false
}

// Offsets and sizes in the binary form of an array.
const (
	arrayFlags  = 4  // where the flags stand: 1 if there are NULLs
	arrayHead   = 12 // dimensions, flags, element type
	arrayDim    = 8  // length and lower bound of a dimension
	nullElement = "\xff\xff\xff\xff"
)

// appendBinary masks the output of array_send.
func (m *array) appendBinary(dst, value []byte) ([]byte, bool) {
	dims, count, ok := m.readHeader(value)
	if !ok {
		return dst, false
	}
	start := len(dst)
	dst = arrayHeader(dst, dims, m.elemOID)
	for i := range dims {
		dst = append(dst, value[arrayHead+i*arrayDim:][:4]...)
		dst = append(dst, one4...)
	}
	rest := value[arrayHead+dims*arrayDim:]
	hasNull := false
	for range count {
		var item []byte
		var null bool
		if item, null, rest, ok = readItem(rest); !ok {
			return dst, false
		}
		dst, null = appendItem(dst, item, null, m.elem)
		hasNull = hasNull || null
	}
	if hasNull {
		dst[start+arrayFlags+3] = 1
	}
	return dst, len(rest) == 0
}

// readHeader checks the head of a binary array and returns how many dimensions and elements it has. It admits no more elements than the bytes
// that follow can hold.
func (m *array) readHeader(value []byte) (dims, count int, ok bool) {
	if len(value) < arrayHead || binary.BigEndian.Uint32(value[8:]) != m.elemOID {
		return 0, 0, false
	}
	n := binary.BigEndian.Uint32(value)
	if n > maxDims || len(value) < arrayHead+int(n)*arrayDim {
		return 0, 0, false
	}
	dims = int(n)
	room := uint64(len(value)-arrayHead-dims*arrayDim) / 4
	total := uint64(1)
	for i := range dims {
		total *= uint64(binary.BigEndian.Uint32(value[arrayHead+i*arrayDim:]))
		if total > room {
			return 0, 0, false
		}
	}
	if dims == 0 {
		total = 0
	}
	return dims, int(total), true
}

// readItem reads a length, -1 for NULL, and as many bytes: an element of an array or a field of a record in binary form.
func readItem(s []byte) (item []byte, null bool, rest []byte, ok bool) {
	if len(s) < 4 {
		return nil, false, nil, false
	}
	n := int64(int32(binary.BigEndian.Uint32(s)))
	s = s[4:]
	switch {
	case n == -1:
		return nil, true, s, true
	case n < 0 || n > int64(len(s)):
		return nil, false, nil, false
	}
	return s[:n], false, s[n:], true
}

// appendItem appends the masked form of an item with its length, and reports whether it is NULL.
func appendItem(dst, item []byte, null bool, m Masker) ([]byte, bool) {
	at := len(dst)
	dst = append(dst, nullElement...)
	if !null {
		dst, null = m.Append(dst, item, Binary)
	}
	if !null {
		binary.BigEndian.PutUint32(dst[at:], uint32(len(dst)-at-4))
	}
	return dst, null
}
