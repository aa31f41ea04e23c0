package differential

import (
	"bytes"
	"slices"
)

// SQLSTATEs that matter here (PostgreSQL documentation, appendix A).
const (
	insufficientPrivilege = "42501"
	syntaxError           = "42601"
	undefinedStatement    = "26000"
	undefinedCursor       = "34000"
)

// ownWords are the errors that a proxy which keeps track of a session finds out itself, before the server could.
var ownWords = []string{syntaxError, undefinedStatement, undefinedCursor}

// same says whether two messages are the same to a client. They are when their bytes are equal, and in two cases besides, in which
// the server has an error to report as well. A proxy that words an error itself cannot know in which line of its source the server
// would have found it, and may give a hint. And a proxy that must know what a statement reads refuses one that names what is not
// there.
func (direct frame) same(through frame) bool {
	if direct.kind != through.kind {
		return false
	}
	if bytes.Equal(direct.body, through.body) {
		return true
	}
	if direct.kind != 'E' {
		return false
	}
	mine, theirs := errorFields(direct.body), errorFields(through.body)
	if theirs['C'] == insufficientPrivilege {
		return mine['S'] == theirs['S']
	}
	return slices.Contains(ownWords, mine['C']) && slices.Equal(essence(mine), essence(theirs))
}

// errorFields are the fields of an ErrorResponse by their code.
func errorFields(body []byte) map[byte]string {
	fields := map[byte]string{}
	for field := range bytes.SplitSeq(body, []byte{0}) {
		if len(field) > 0 {
			fields[field[0]] = string(field[1:])
		}
	}
	return fields
}

// essence is the fields in order, but for the hint and the file, line and routine of the server's source.
func essence(fields map[byte]string) []string {
	var kept []string
	for code, value := range fields {
		if !bytes.ContainsRune([]byte("HFLR"), rune(code)) {
			kept = append(kept, string(code)+value)
		}
	}
	slices.Sort(kept)
	return kept
}
