package corpus

import (
	"strings"
	"testing"
)

// The other tests fail if a proxy of theirs has kept a canary; this one, if that would not be noticed.
func TestACanaryThatIsKeptIsFound(t *testing.T) {
	var replacements []string
	for _, column := range []string{"customers.ssn", "customers.card_number", "customers.email", "api_keys.secret"} {
		replacements = append(replacements, `["public.`+column+`"]`, `["public.nobody.`+column[strings.IndexByte(column, '.')+1:]+`"]`)
	}
	local := localProxyUnder(mustBuild(t), replacements)
	judge, err := NewJudge(t.Context(), local)
	if err != nil {
		t.Fatal(err)
	}
	row := mustLoad(t, "exfil.tsv")[0]
	row.SQL, row.Expected = "SELECT ssn FROM customers WHERE id < 5", Mask
	if _, err := judge.Run(t.Context(), row); err != nil {
		t.Fatal(err)
	}
	if err := judge.Close(); err == nil || !strings.Contains(err.Error(), "kept: ") {
		t.Errorf("without tags, values are recorded, and the inspection says %v", err)
	}
	for _, content := range []string{"user7@canary.example", "user7@canary.example SCRAM-SHA-256$4096"} {
		if newCanaries().inspect("a file", []byte(content), "") == nil {
			t.Errorf("%q is not found", content)
		}
	}
	if err := newCanaries().inspect("a file", []byte("nothing, and SCRAM-SHA-256"), "a long password"); err != nil {
		t.Error(err)
	}
	for event, found := range map[string]bool{
		`"parameters":[{"text":"user7@canary.example"}],"resources":["Read public.customers"],"effect":"Allow"`:                      false,
		`"parameters":[{"text":"user7@canary.example"}],"resources":["Read public.customers"],"tags":["pii/email"],"effect":"Allow"`: true,
		`"values":[[{"text":"user8@canary.example"}]]`:                                                                               true,
	} {
		if err := newCanaries().inspect("a file", known([]byte(event)), ""); (err != nil) != found {
			t.Errorf("%s: %v", event, err)
		}
	}
	if newCanaries().inspect("a file", []byte("a long password"), "a long password") == nil {
		t.Error("a password is not found")
	}
}
