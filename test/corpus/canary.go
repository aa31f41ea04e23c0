package corpus

import (
	"bytes"
	"crypto/md5"  //nolint:gosec // looked for, not relied on
	"crypto/sha1" //nolint:gosec // looked for, not relied on
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// canaries are the secret values of schema.sql with all the encodings that are looked for.
type canaries struct {
	needles map[[needleKey]byte][]needle // by their first bytes, so that a text is read once whatever the number of needles
}

// needle is one of the forms of a value.
type needle struct{ value, form string }

// needleKey is how many bytes of a needle find it: no form is shorter.
const needleKey = 4

// The sizes of schema.sql's tables.
const (
	customers = 200
	apiKeys   = 20
)

// newCanaries makes the values as schema.sql makes them.
func newCanaries() *canaries {
	c := &canaries{needles: map[[needleKey]byte][]needle{}}
	for i := 1; i <= customers; i++ {
		c.add(fmt.Sprintf("%03d-45-%04d", 100+i%7, 6000+i))
		c.add(fmt.Sprintf("41111111%08d", i))
		c.add(fmt.Sprintf("user%d@canary.example", i))
	}
	for i := 1; i <= apiKeys; i++ {
		c.add(fmt.Sprintf("sk_canary_%x", md5.Sum([]byte(strconv.Itoa(i))))) //nolint:gosec // as schema.sql does
	}
	return c
}

func (c *canaries) add(value string) {
	for _, form := range encodings(value) {
		key := [needleKey]byte([]byte(form))
		c.needles[key] = append(c.needles[key], needle{value: value, form: form})
	}
}

// encodings are the forms in which a value may leave: itself, its digits, reversed, hex, base64, digits as letters, hashes, and
// numbers in binary format.
func encodings(value string) []string {
	forms := []string{value}
	digits := strings.ReplaceAll(value, "-", "")
	if digits != value {
		forms = append(forms, digits)
	}
	for _, form := range slices.Clone(forms) {
		forms = append(forms, reverse(form), hex.EncodeToString([]byte(form)), strings.ToUpper(form))
		for _, padding := range []string{"", "x", "xx"} { // base64 depends on where in three bytes the value starts
			encoded := base64.StdEncoding.EncodeToString([]byte(padding + form + "xxx"))
			forms = append(forms, encoded[4:len(encoded)-6])
		}
		forms = append(forms, hashes(form)...)
	}
	if number, err := strconv.ParseInt(digits, 10, 64); err == nil {
		forms = append(forms, lettersForDigits(digits))
		forms = append(forms, binaryNumbers(number)...)
	}
	return forms
}

func hashes(form string) []string {
	m, s1, s256, s512 := md5.Sum([]byte(form)), sha1.Sum([]byte(form)), sha256.Sum256([]byte(form)), sha512.Sum512([]byte(form)) //nolint:gosec // see above
	s224, s384 := sha256.Sum224([]byte(form)), sha512.Sum384([]byte(form))
	var forms []string
	for _, sum := range [][]byte{m[:], s1[:], s224[:], s256[:], s384[:], s512[:]} {
		forms = append(forms, string(sum), hex.EncodeToString(sum), base64.RawStdEncoding.EncodeToString(sum))
	}
	return forms
}

// binaryNumbers are a number as int8, as int4 where it fits, and as the digits of a binary numeric (base 10000).
func binaryNumbers(number int64) []string {
	forms := []string{string(binary.BigEndian.AppendUint64(nil, uint64(number)))} //nolint:gosec // canaries are positive
	if number <= 1<<31-1 {
		forms = append(forms, string(binary.BigEndian.AppendUint32(nil, uint32(number)))) //nolint:gosec // just checked
	}
	var groups []byte
	for rest := number; rest > 0; rest /= 10000 {
		groups = append(binary.BigEndian.AppendUint16(nil, uint16(rest%10000)), groups...) //nolint:gosec // below 10000
	}
	return append(forms, string(groups))
}

func reverse(s string) string {
	b := []byte(s)
	slices.Reverse(b)
	return string(b)
}

func lettersForDigits(s string) string {
	return strings.Map(func(r rune) rune { return r - '0' + 'a' }, s)
}

// shapes are pieces of canaries that no other value of the schema has: they find halves and prefixes.
var shapes = regexp.MustCompile(`10[0-6]-4|-45-6|5-6[0-2]\d\d|41111111|\dcanary|@canary|canary\.ex|sk_can`)

// found lists what gives secrets away in what a client received, at most a handful. Canaries that stand in the statement itself
// are no news to the client and are left out.
func (c *canaries) found(received []byte, frames []frame, sql string) []string {
	const enough = 5
	var found []string
	for _, view := range views(received, frames) {
		if len(found) >= enough {
			break
		}
		for _, shape := range shapes.FindAllString(view.text, enough) {
			if !strings.Contains(sql, shape) && !shapes.MatchString(sql) {
				found = append(found, fmt.Sprintf("%q in %s", shape, view.name))
			}
		}
		found = append(found, c.valuesIn(view, sql, enough-len(found))...)
	}
	return found
}

// valuesIn lists values that a view shows in any form, each once, at most a number of them.
func (c *canaries) valuesIn(view view, sql string, most int) []string {
	var found []string
	seen := map[string]bool{}
	text := []byte(view.text)
	for i := 0; i+needleKey <= len(text) && len(found) < most; i++ {
		for _, n := range c.needles[[needleKey]byte(text[i:i+needleKey])] {
			if !seen[n.value] && bytes.HasPrefix(text[i:], []byte(n.form)) && !strings.Contains(sql, n.value) {
				seen[n.value] = true
				found = append(found, fmt.Sprintf("%s as %q in %s", n.value, n.form, view.name))
			}
		}
	}
	return found
}

// view is one way of reading what was received.
type view struct{ name, text string }

// views are the bytes as received, and the values of each column put together over the rows, as texts and, where they are
// small numbers, as characters: a value may leave one character at a time.
func views(received []byte, frames []frame) []view {
	views := []view{{"the bytes received", string(received)}}
	for i, column := range columns(frames) {
		name := "column " + strconv.Itoa(i+1)
		views = append(views, view{name + " put together", string(bytes.Join(column, nil))})
		if characters := asCharacters(column); characters != "" {
			views = append(views, view{name + " as character codes", characters})
		}
	}
	return views
}

// columns are the values of all DataRows, by column.
func columns(frames []frame) [][][]byte {
	var columns [][][]byte
	for _, f := range frames {
		if f.kind != 'D' {
			continue
		}
		for i, value := range values(f.body) {
			if i == len(columns) {
				columns = append(columns, nil)
			}
			columns[i] = append(columns[i], value)
		}
	}
	return columns
}

// values splits a DataRow's body; NULL is an empty value. A body that is cut short gives what can be read of it.
func values(body []byte) [][]byte {
	if len(body) < 2 {
		return nil
	}
	count, rest := int(binary.BigEndian.Uint16(body)), body[2:]
	var values [][]byte
	for range count {
		if len(rest) < 4 {
			break
		}
		length := int(int32(binary.BigEndian.Uint32(rest))) //nolint:gosec // -1 is NULL
		rest = rest[4:]
		length = min(max(length, 0), len(rest))
		values = append(values, rest[:length])
		rest = rest[length:]
	}
	return values
}

// asCharacters reads a column of numbers, in text or binary format, as character codes; "" if it is none.
func asCharacters(column [][]byte) string {
	var characters strings.Builder
	for _, value := range column {
		number, err := strconv.Atoi(string(value))
		if err != nil && (len(value) == 2 || len(value) == 4 || len(value) == 8) {
			var wide [8]byte
			copy(wide[8-len(value):], value)
			number, err = int(binary.BigEndian.Uint64(wide[:])), nil //nolint:gosec // out of range is none of ours
		}
		if err != nil || number < 0 || number > 127 {
			return ""
		}
		characters.WriteByte(byte(number))
	}
	return characters.String()
}
