package wire

import "encoding/binary"

// HeaderSize is the type byte and the four bytes of length.
const HeaderSize = 5

// MaxMessage is the largest length that PostgreSQL accepts in a message header
// (1 GiB - 1, MaxAllocSize in its sources).
const MaxMessage = 1<<30 - 1

// Begin appends a message's header with a length to be set by Finish, and
// returns where the message starts.
func Begin(dst []byte, kind byte) ([]byte, int) {
	at := len(dst)
	return append(dst, kind, 0, 0, 0, 0), at
}

// Finish sets the length of the message that starts at.
func Finish(dst []byte, at int) []byte {
	binary.BigEndian.PutUint32(dst[at+1:], uint32(len(dst)-at-1))
	return dst
}

// Message appends a whole message.
func Message(dst []byte, kind byte, body ...[]byte) []byte {
	dst, at := Begin(dst, kind)
	for _, b := range body {
		dst = append(dst, b...)
	}
	return Finish(dst, at)
}

// String appends a zero-terminated string.
func String(dst []byte, s string) []byte { return append(append(dst, s...), 0) }

// Query appends a simple Query message.
func Query(dst []byte, text string) []byte {
	dst, at := Begin(dst, 'Q')
	return Finish(String(dst, text), at)
}

// Parse appends a Parse message without parameter types.
func Parse(dst []byte, name, text string) []byte {
	dst, at := Begin(dst, 'P')
	dst = String(String(dst, name), text)
	return Finish(append(dst, 0, 0), at)
}

// Describe appends a Describe message for a statement ('S') or portal ('P').
func Describe(dst []byte, target byte, name string) []byte {
	dst, at := Begin(dst, 'D')
	return Finish(String(append(dst, target), name), at)
}

// Execute appends an Execute message; maxRows 0 means all.
func Execute(dst []byte, portal string, maxRows uint32) []byte {
	dst, at := Begin(dst, 'E')
	dst = String(dst, portal)
	return Finish(binary.BigEndian.AppendUint32(dst, maxRows), at)
}

// Flush appends a Flush message.
func Flush(dst []byte) []byte { return append(dst, 'H', 0, 0, 0, 4) }

// Sync appends a Sync message.
func Sync(dst []byte) []byte { return append(dst, 'S', 0, 0, 0, 4) }

// ReadyForQuery appends a ReadyForQuery message with a transaction status.
func ReadyForQuery(dst []byte, status byte) []byte { return append(dst, 'Z', 0, 0, 0, 5, status) }

// ParameterStatus appends a ParameterStatus message.
func ParameterStatus(dst []byte, name, value string) []byte {
	dst, at := Begin(dst, 'S')
	return Finish(String(String(dst, name), value), at)
}

// AuthenticationOk appends an AuthenticationOk message.
func AuthenticationOk(dst []byte) []byte { return append(dst, 'R', 0, 0, 0, 8, 0, 0, 0, 0) }

// BackendKeyData appends the key with which a client cancels.
func BackendKeyData(dst []byte, pid uint32, key []byte) []byte {
	dst, at := Begin(dst, 'K')
	dst = binary.BigEndian.AppendUint32(dst, pid)
	return Finish(append(dst, key...), at)
}

// NegotiateProtocolVersion appends the answer to a client that asks for a newer
// minor version, or for options, than are served. version is the newest that is.
func NegotiateProtocolVersion(dst []byte, version uint32, unknown []string) []byte {
	dst, at := Begin(dst, 'v')
	dst = binary.BigEndian.AppendUint32(dst, version)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(unknown)))
	for _, o := range unknown {
		dst = String(dst, o)
	}
	return Finish(dst, at)
}

// Field is a column of a RowDescription.
type Field struct {
	Name     string
	Relation uint32 // OID of the table the server attests, 0: none
	Attr     int16  // attribute number in it, 0: none
	Type     uint32 // OID
	Format   int16  // 0 text, 1 binary
}

// RowDescription reads the fields of a RowDescription body.
func RowDescription(body []byte) ([]Field, bool) {
	r := Reader{Rest: body}
	n := int(r.Int16())
	if n < 0 || n*19 > len(body) { // the shortest field has 19 bytes
		return nil, false
	}
	fields := make([]Field, 0, n)
	for range n {
		f := Field{Name: r.String(), Relation: uint32(r.Int32()), Attr: r.Int16(), Type: uint32(r.Int32())}
		r.Bytes(6) // type size and modifier
		f.Format = r.Int16()
		fields = append(fields, f)
	}
	return fields, r.Done()
}
