package postgres

import (
	"maps"
	"testing"
)

func TestOptionsAreReadAsPostgreSQLReadsThem(t *testing.T) {
	for options, want := range map[string]map[string]string{
		"":                                {},
		"-c geqo=off":                     {"geqo": "off"},
		"-cgeqo=off  --work-mem=4MB":      {"geqo": "off", "work_mem": "4MB"},
		`-c search_path=a\ b,\"c\\d\"`:    {"search_path": `a b,"c\d"`},
		"-c a=1 -c a=2":                   {"a": "2"},
		"--statement_timeout=1s\t-c b=c=": {"statement_timeout": "1s", "b": "c="},
	} {
		got, ok := parseOptions(options)
		if !ok || !maps.Equal(got, want) {
			t.Errorf("%q: got %v, %v", options, got, ok)
		}
	}
	for _, options := range []string{"-B 10", "-c", "geqo=off", "-c geqo", "-c =off", "-p 5433"} {
		if got, ok := parseOptions(options); ok {
			t.Errorf("%q was taken for %v", options, got)
		}
	}
}

func TestSettingsBecomeStatementsThatCannotBreakOut(t *testing.T) {
	for _, c := range []struct {
		settings map[string]string
		want     string
	}{
		{map[string]string{"application_name": "it's; DROP TABLE x"}, `SET "application_name" = 'it''s; DROP TABLE x'`},
		{map[string]string{"search_path": `public, "My ""Schema"""`}, `SET "search_path" = 'public', 'My "Schema"'`},
		{map[string]string{"b.c": "1", "A": "2"}, `SET "a" = '2'; SET "b"."c" = '1'`},
		{map[string]string{`x" = 1; DROP TABLE y; --`: "1"}, `SET "x"" = 1; drop table y; --" = '1'`},
	} {
		if got := setStatements(c.settings); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}

func TestEncodingsAreNamedAsTheServerReadsThem(t *testing.T) {
	for name, want := range map[string]bool{
		"UTF8": true, "'utf-8'": true, "Unicode": true, "sql_ascii": true, `"UTF_8"`: true,
		"": false, "latin1": false, "sjis": false, "utf16": false, "utf8x": false,
	} {
		if got := safeEncoding(name); got != want {
			t.Errorf("%q: %v, want %v", name, got, want)
		}
	}
}

func FuzzStartupParameters(f *testing.F) {
	f.Add([]byte("user\x00me\x00database\x00x\x00\x00"))
	f.Add([]byte("options\x00-c a=b\x00\x00"))
	f.Fuzz(func(t *testing.T, body []byte) {
		pairs, ok := startupParameters(body)
		if !ok {
			return
		}
		for _, p := range pairs {
			if len(p[0])+len(p[1]) > len(body) {
				t.Fatal("a parameter is longer than its message")
			}
			if p[0] == "options" {
				parseOptions(p[1])
			}
		}
	})
}
