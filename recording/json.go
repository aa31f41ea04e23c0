package recording

import (
	"encoding/base64"
	"encoding/json"
	"strconv"
	"unicode/utf8"

	"github.com/tidewaiter/tidewaiter/proxy/access"
)

// appendEvent appends the JSON of e without its time, which the record's header
// carries. It writes what encoding/json would, but without allocating for the
// events that come with every statement; a test holds it to the fields of
// access.Event.
func appendEvent(dst []byte, e *access.Event) ([]byte, error) {
	var err error
	dst = appendString(append(dst, `{"kind":`...), string(e.Kind))
	dst = appendInt(dst, `,"statement":`, e.Statement)
	if e.Opened != nil {
		if dst, err = appendAny(append(dst, `,"opened":`...), e.Opened); err != nil {
			return dst, err
		}
	}
	if e.Decided != nil {
		dst = appendDecided(append(dst, `,"decided":`...), e.Decided)
	}
	if e.Held != nil {
		if dst, err = appendAny(append(dst, `,"held":`...), e.Held); err != nil {
			return dst, err
		}
	}
	if e.Answered != nil {
		if dst, err = appendAny(append(dst, `,"answered":`...), e.Answered); err != nil {
			return dst, err
		}
	}
	if e.Rows != nil {
		dst = appendRows(append(dst, `,"rows":`...), e.Rows)
	}
	if e.Ended != nil {
		dst = appendEnded(append(dst, `,"ended":`...), e.Ended)
	}
	dst = appendText(dst, `,"note":`, e.Note)
	if e.Closed != nil {
		if dst, err = appendAny(append(dst, `,"closed":`...), e.Closed); err != nil {
			return dst, err
		}
	}
	return append(dst, '}'), nil
}

// appendAny is for what is rare: once in a session, or once for each time people are asked.
func appendAny(dst []byte, v any) ([]byte, error) {
	b, err := json.Marshal(v)
	return append(dst, b...), err
}

func appendDecided(dst []byte, d *access.Decided) []byte {
	dst = appendString(append(dst, `{"phase":`...), string(d.Phase))
	dst = appendString(append(dst, `,"text":`...), d.Text)
	dst = appendInt(dst, `,"textSize":`, d.TextSize)
	if len(d.Parameters) > 0 {
		dst = appendValues(append(dst, `,"parameters":`...), d.Parameters)
	}
	dst = appendTexts(dst, `,"kinds":`, d.Kinds)
	dst = appendTexts(dst, `,"features":`, d.Features)
	dst = appendTexts(dst, `,"resources":`, d.Resources)
	dst = appendTexts(dst, `,"tags":`, d.Tags)
	dst = appendString(append(dst, `,"effect":`...), d.Effect)
	dst = appendText(dst, `,"policy":`, d.Policy)
	dst = appendText(dst, `,"rule":`, d.Rule)
	dst = appendText(dst, `,"reason":`, d.Reason)
	dst = appendTrue(dst, `,"observed":true`, d.Observed)
	dst = appendTexts(dst, `,"flags":`, d.Flags)
	if d.Revision != 0 {
		dst = strconv.AppendUint(append(dst, `,"revision":`...), d.Revision, 10)
	}
	return append(dst, '}')
}

func appendRows(dst []byte, r *access.Rows) []byte {
	dst = append(dst, '{')
	if len(r.Columns) > 0 {
		dst = append(dst, `"columns":[`...)
		for i := range r.Columns {
			c := &r.Columns[i]
			dst = appendString(append(comma(dst, i), `{"name":`...), c.Name)
			dst = appendText(dst, `,"type":`, c.Type)
			dst = append(appendText(dst, `,"masked":`, c.Masked), '}')
		}
		dst = append(dst, `],`...)
	}
	dst = append(dst, `"values":[`...)
	for i, row := range r.Values {
		dst = appendValues(comma(dst, i), row)
	}
	dst = append(dst, ']')
	if d := r.Digest; d != nil {
		dst = strconv.AppendInt(append(dst, `,"digest":{"count":`...), d.Count, 10)
		dst = strconv.AppendInt(append(dst, `,"bytes":`...), d.Bytes, 10)
		dst = append(appendString(append(dst, `,"sha256":`...), d.SHA256), '}')
	}
	return append(dst, '}')
}

func appendValues(dst []byte, row []access.Value) []byte {
	dst = append(dst, '[')
	for i := range row {
		dst = appendValue(comma(dst, i), &row[i])
	}
	return append(dst, ']')
}

func appendValue(dst []byte, v *access.Value) []byte {
	open := len(dst)
	dst = appendTrue(dst, `,"null":true`, v.Null)
	dst = appendTrue(dst, `,"masked":true`, v.Masked)
	dst = appendText(dst, `,"text":`, v.Text)
	if len(v.Binary) > 0 {
		dst = append(dst, `,"binary":"`...)
		dst = append(base64.StdEncoding.AppendEncode(dst, v.Binary), '"')
	}
	dst = appendInt(dst, `,"size":`, v.Size)
	if len(dst) == open {
		return append(dst, `{}`...)
	}
	dst[open] = '{' // in place of the first comma
	return append(dst, '}')
}

func appendEnded(dst []byte, e *access.Ended) []byte {
	dst = appendString(append(dst, `{"outcome":`...), string(e.Outcome))
	dst = appendText(dst, `,"tag":`, e.Tag)
	dst = appendText(dst, `,"code":`, e.Code)
	dst = appendText(dst, `,"message":`, e.Message)
	dst = strconv.AppendInt(append(dst, `,"rows":`...), e.Rows, 10)
	dst = strconv.AppendInt(append(dst, `,"bytes":`...), e.Bytes, 10)
	dst = strconv.AppendInt(append(dst, `,"masked":`...), e.Masked, 10)
	dst = appendTexts(dst, `,"flags":`, e.Flags)
	dst = strconv.AppendInt(append(dst, `,"durationNanos":`...), int64(e.Duration), 10)
	return append(dst, '}')
}

// The appenders below leave out what is empty; key begins with its comma.

func appendInt(dst []byte, key string, n int64) []byte {
	if n == 0 {
		return dst
	}
	return strconv.AppendInt(append(dst, key...), n, 10)
}

func appendTrue(dst []byte, member string, is bool) []byte {
	if !is {
		return dst
	}
	return append(dst, member...)
}

func appendText(dst []byte, key, s string) []byte {
	if s == "" {
		return dst
	}
	return appendString(append(dst, key...), s)
}

func appendTexts(dst []byte, key string, list []string) []byte {
	if len(list) == 0 {
		return dst
	}
	dst = append(append(dst, key...), '[')
	for i, s := range list {
		dst = appendString(comma(dst, i), s)
	}
	return append(dst, ']')
}

func comma(dst []byte, i int) []byte {
	if i > 0 {
		dst = append(dst, ',')
	}
	return dst
}

// plain says which bytes stand for themselves in a JSON string.
var plain = func() (is [256]bool) {
	for b := ' '; b < 0x7f; b++ {
		is[b] = b != '"' && b != '\\'
	}
	return is
}()

// plainUntil returns where, from i on, s has the first byte that is not plain. It looks at eight bytes at a time, as most
// of a recording is plain text and this is where an encoder's time goes. The tests for eight bytes are those of
// https://graphics.stanford.edu/~seander/bithacks.html#ZeroInWord: where they err, it is on the side of looking closer.
func plainUntil(s string, i int) int {
	const (
		ones  = 0x0101010101010101
		highs = 0x80 * ones
	)
	for ; len(s)-i >= 8; i += 8 {
		w := uint64(s[i]) | uint64(s[i+1])<<8 | uint64(s[i+2])<<16 | uint64(s[i+3])<<24 |
			uint64(s[i+4])<<32 | uint64(s[i+5])<<40 | uint64(s[i+6])<<48 | uint64(s[i+7])<<56
		quote, backslash := w^('"'*ones), w^('\\'*ones)
		control := (w - ' '*ones) | (quote - ones) | (backslash - ones) // of bytes below 0x80 only
		if (w|(w+ones)|control)&highs != 0 {                            // w+ones: DEL
			break
		}
	}
	for i < len(s) && plain[s[i]] {
		i++
	}
	return i
}

// appendString appends s as a JSON string. Control characters are escaped, so
// that a recording looked at with plain tools is harmless; bytes that are not
// UTF-8 become U+FFFD.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0 // of what is copied as it is
	for i := plainUntil(s, 0); i < len(s); i = plainUntil(s, i) {
		n := 1
		if s[i] >= utf8.RuneSelf {
			var r rune
			if r, n = utf8.DecodeRuneInString(s[i:]); !(r == utf8.RuneError && n == 1) && r >= 0xa0 {
				i += n
				continue
			}
		}
		dst = appendEscaped(append(dst, s[start:i]...), s[i:i+n])
		i += n
		start = i
	}
	return append(append(dst, s[start:]...), '"')
}

// appendEscaped appends a quote, a backslash, a control character (those of C1 too, which some terminals obey), or a byte that is
// not UTF-8, as the escape for it.
func appendEscaped(dst []byte, c string) []byte {
	const digits = "0123456789abcdef"
	b := c[len(c)-1]
	switch {
	case b == '"' || b == '\\':
		return append(dst, '\\', b)
	case len(c) == 1 && b >= utf8.RuneSelf:
		return append(dst, `\ufffd`...)
	default: // the second byte of a C1 control is also its code point
		return append(dst, '\\', 'u', '0', '0', digits[b>>4], digits[b&15])
	}
}
