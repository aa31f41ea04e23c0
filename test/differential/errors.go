package differential

import (
	"bytes"
	"slices"
)

// ownWords are the SQLSTATEs of errors that a proxy which keeps track of a session words itself (PostgreSQL documentation, appendix A),
// because it must not forward what leads to them: text that does not parse, and names of statements, portals and cursors that do not
// exist, of which it could not say what they would run.
var ownWords = []string{"42601", "26000", "34000"}

// sourceFields say in which file, line and routine of its own source the server has found an error. Nobody but the server can know
// them, they change with its minor version, and no driver acts on them: an error without them is the same to a client.
const sourceFields = "FLR"

// same says whether two messages are the same to a client: their bytes are equal, but that an error which the proxy has worded lacks
// the place in the server's source. Every other field, and their order, must be equal.
func (direct frame) same(through frame) bool {
	if direct.kind != through.kind {
		return false
	}
	if bytes.Equal(direct.body, through.body) {
		return true
	}
	if direct.kind != 'E' || !slices.Contains(ownWords, field(direct.body, 'C')) || hasSource(through.body) {
		return false
	}
	return bytes.Equal(withoutSource(direct.body), through.body)
}

// field is the value of an ErrorResponse's field, "" where there is none.
func field(body []byte, code byte) string {
	for f := range bytes.SplitSeq(body, []byte{0}) {
		if len(f) > 0 && f[0] == code {
			return string(f[1:])
		}
	}
	return ""
}

func hasSource(body []byte) bool { return !bytes.Equal(body, withoutSource(body)) }

// withoutSource is an ErrorResponse less its sourceFields.
func withoutSource(body []byte) []byte {
	var out []byte
	for f := range bytes.SplitAfterSeq(body, []byte{0}) {
		if len(f) > 0 && !bytes.ContainsRune([]byte(sourceFields), rune(f[0])) {
			out = append(out, f...)
		}
	}
	return out
}
