package mask_test

import (
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/proxy/mask"
)

func TestPartialKeepsTheDomainOfAnEmailAddress(t *testing.T) {
	m := mask.New(builtin(t, oidText), mask.Spec{Strategy: mask.Partial, KeepDomain: true})
	for value, want := range map[string]string{
		"ann@example.org":            "***@example.org",
		"ann@sub.example.org":        "***@sub.example.org",
		`"a@b"@example.org`:          "***@example.org",
		"ann@bücher.example":         "***@bücher.example",
		"":                           "*****",
		"ann":                        "*****",
		"@example.org":               "*****",
		"ann@":                       "*****",
		"ann@localhost":              "*****",
		"my number is @ 078-05-1120": "*****",
		"ann@078-05-1120":            "*****",
		"ann@10.1.2.3":               "*****",
		"ann@example..org":           "*****",
		"ann@example.org.":           "*****",
		"ann@" + strings.Repeat("a.", 127) + "org": "*****",
	} {
		expectMask(t, m, value, mask.Text, want)
		expectMask(t, m, value, mask.Binary, want)
	}
}

func TestPartialNeverShowsMoreThanHalf(t *testing.T) {
	for _, c := range []struct {
		first, last int
		value, want string
	}{
		{2, 2, "0123456789", "01***89"},
		{0, 4, "078-05-1120", "***1120"},
		{1, 0, "Müller", "M***"},
		{0, 3, "日本語文字列", "***文字列"},
		{9, 9, "0123456789", "01234***"},
		{3, 3, "0123", "01***"},
		{3, 3, "01", "0***"},
		{3, 3, "0", "*****"},
		{3, 3, "", "*****"},
		{-1, -1, "0123456789", "*****"},
		{1 << 62, 1 << 62, "0123456789", "01234***"},
		{1, 1, "\xff\xfe\xff\xfe", "*****"},
	} {
		m := mask.New(builtin(t, oidVarchar), mask.Spec{Strategy: mask.Partial, KeepFirst: c.first, KeepLast: c.last})
		expectMask(t, m, c.value, mask.Text, c.want)
	}
}

func TestPartialKeepsCharactersInFrontOfTheDomainIfAsked(t *testing.T) {
	m := mask.New(builtin(t, oidText), mask.Spec{Strategy: mask.Partial, KeepDomain: true, KeepFirst: 1})
	expectMask(t, m, "annabel@example.org", mask.Text, "a***@example.org")
	expectMask(t, m, "a@example.org", mask.Text, "***@example.org")
	expectMask(t, m, "no address", mask.Text, "n***")
}

func TestPartialRedactsWhatIsNoText(t *testing.T) {
	spec := mask.Spec{Strategy: mask.Partial, KeepFirst: 2}
	expectMask(t, mask.New(builtin(t, oidInt4), spec), "123456", mask.Text, "0")
	expectMask(t, mask.New(builtin(t, 114), spec), `{"a":"b"}`, mask.Text, `"*****"`)
	expectMask(t, mask.New(builtin(t, oidDate), spec), "1990-05-06", mask.Text, "1970-01-01")
	expectMask(t, mask.New(builtin(t, 18), spec), "x", mask.Text, "*")
}
