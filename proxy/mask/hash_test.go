package mask_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/tidewaiter/tidewaiter/proxy/mask"
)

var hashSpec = mask.Spec{Strategy: mask.Hash, Key: []byte("the data source's key")}

// sum returns the HMAC-SHA256 of a text under hashSpec's key.
func sum(text string) string {
	h := hmac.New(sha256.New, hashSpec.Key)
	h.Write([]byte(text))
	return string(h.Sum(nil))
}

func TestHashIsTheHMACOfTheTextAndItsSeal(t *testing.T) {
	kept := sum("078-05-1120")[:12]
	want := hex.EncodeToString([]byte(kept + sum("seal\x00" + kept)[:4]))
	for _, oid := range []uint32{oidText, oidVarchar, oidBpchar, 19} {
		m := mask.New(builtin(t, oid), hashSpec)
		expectMask(t, m, "078-05-1120", mask.Text, want)
		expectMask(t, m, "078-05-1120", mask.Binary, want)
	}
}

func TestValuesThatAreEqualForTheServerHashAlike(t *testing.T) {
	citext := &mask.Type{OID: 70000, Name: "citext"}
	for _, c := range []struct {
		typ  *mask.Type
		a, b string
	}{
		{builtin(t, oidBpchar), "ab", "ab   "},
		{citext, "Müller@Example.ORG", "mÜLLER@example.org"},
		{citext, strings.Repeat("Ä", 500), strings.Repeat("ä", 500)},
		{builtin(t, oidBytea), `\x5c00ff41`, `\\\000\377A`},
	} {
		m := mask.New(c.typ, hashSpec)
		expectMask(t, m, c.a, mask.Text, apply(t, m, c.b, mask.Text))
	}
	text := mask.New(builtin(t, oidText), hashSpec)
	if apply(t, text, "ab", mask.Text) == apply(t, text, "ab ", mask.Text) {
		t.Error("in text, unlike char(n), trailing blanks make a difference")
	}
}

func TestHashesInTextAndBinaryAgree(t *testing.T) {
	const id = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"
	rawID, _ := hex.DecodeString(strings.ReplaceAll(id, "-", ""))
	long := strings.Repeat("\x00\xff", 500)
	for _, c := range []struct {
		oid          uint32
		text, binary string
		decode       func(text string) string
	}{
		{oidUUID, id, string(rawID), func(text string) string {
			b, _ := hex.DecodeString(strings.ReplaceAll(text, "-", ""))
			return string(b)
		}},
		{oidInt2, "-42", be16(-42), func(text string) string { return be16(int16(number(t, text))) }},
		{oidInt4, "2147483647", be32(1<<31 - 1), func(text string) string { return be32(int32(number(t, text))) }},
		{oidInt8, "-9223372036854775808", be64(-1 << 63), func(text string) string { return be64(number(t, text)) }},
		{oidBytea, `\x` + hex.EncodeToString([]byte(long)), long, func(text string) string {
			b, _ := hex.DecodeString(strings.TrimPrefix(text, `\x`))
			return string(b)
		}},
	} {
		m := mask.New(builtin(t, c.oid), hashSpec)
		text, bin := apply(t, m, c.text, mask.Text), apply(t, m, c.binary, mask.Binary)
		if c.decode(text) != bin {
			t.Errorf("type %d: %q in text, %x in binary", c.oid, text, bin)
		}
		if text == apply(t, mask.New(builtin(t, c.oid), mask.Spec{}), c.text, mask.Text) {
			t.Errorf("type %d was redacted, not hashed", c.oid)
		}
	}
}

func number(t *testing.T, text string) int64 {
	t.Helper()
	var n int64
	if _, err := fmt.Sscan(text, &n); err != nil || n < 0 {
		t.Errorf("%q is not a positive number: %v", text, err)
	}
	return n
}

func TestHashRedactsWhatItCannotHash(t *testing.T) {
	for _, c := range []struct {
		oid    uint32
		format mask.Format
		value  string
		want   string
	}{
		{oidUUID, mask.Text, "a0eebc99-9c0b-4ef8-bb6d", "00000000-0000-0000-0000-000000000000"},
		{oidUUID, mask.Text, "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "00000000-0000-0000-0000-000000000000"},
		{oidUUID, mask.Binary, "short", be64(0) + be64(0)},
		{oidInt4, mask.Text, "4x", "0"},
		{oidInt4, mask.Text, "-", "0"},
		{oidInt8, mask.Text, "9223372036854775808", "0"},
		{oidInt4, mask.Binary, be16(4), be32(0)},
		{oidBytea, mask.Text, `\x4`, `\x`},
		{oidBytea, mask.Text, `\xzz`, `\x`},
		{oidBytea, mask.Text, `a\9`, `\x`},
		{oidBytea, mask.Text, `a\777`, `\x`},
		{oidBytea, mask.Text, `a\`, `\x`},
		{1700, mask.Text, "7.5", "0"},
		{114, mask.Text, "{}", `"*****"`},
		{18, mask.Text, "x", "*"},
	} {
		expectMask(t, mask.New(builtin(t, c.oid), hashSpec), c.value, c.format, c.want)
	}
}

func TestHashWithoutAKeyRedacts(t *testing.T) {
	expectMask(t, mask.New(builtin(t, oidText), mask.Spec{Strategy: mask.Hash}), "secret", mask.Text, "*****")
}

func TestAChangedKeyDoesNotChangeTheMasker(t *testing.T) {
	key := []byte("key")
	m := mask.New(builtin(t, oidText), mask.Spec{Strategy: mask.Hash, Key: key})
	want := apply(t, m, "first use makes the state", mask.Text)
	clear(key)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				if out, _ := m.Append(nil, []byte("first use makes the state"), mask.Text); string(out) != want {
					t.Errorf("hash is %q, was %q", out, want)
				}
			}
		})
	}
	wg.Wait()
}
