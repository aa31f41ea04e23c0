package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestWhatPassesDirectlyAndNotThroughIsARegression(t *testing.T) {
	direct := results{
		"passes both": {Status: pass}, "fails through": {Status: pass}, "crashes through": {Status: pass}, "does not run": {Status: pass},
		"is skipped": {Status: pass}, "answers otherwise": {Status: pass, Answer: "1"}, "fails both": {Status: fail}, "skipped both": {Status: skip},
	}
	through := results{
		"passes both": {Status: pass}, "fails through": {Status: fail}, "crashes through": {Status: unfinished}, "is skipped": {Status: skip},
		"answers otherwise": {Status: pass, Answer: "2"}, "fails both": {Status: fail}, "skipped both": {Status: skip},
	}
	want := []string{"answers otherwise", "crashes through", "does not run", "fails through", "is skipped"}
	if got := regressions(direct, through); !slices.Equal(got, want) {
		t.Errorf("got %q; want %q", got, want)
	}
}

func TestOneRegressionMakesTheComparisonBadAndIsNamed(t *testing.T) {
	var out strings.Builder
	good, err := printComparison(&out, "pgx", results{"a": {Status: pass}}, results{"a": {Status: fail, Output: "too late"}})
	if err != nil || good || !strings.Contains(out.String(), "fail: a") || !strings.Contains(out.String(), "too late") {
		t.Errorf("good %v, %v, printed:\n%s", good, err, &out)
	}
}

func TestAnAcceptedDifferenceIsPrintedWithItsReasonAndIsNotBad(t *testing.T) {
	const subtest = ". TestAuth/end_to_end/wrong password"
	var out strings.Builder
	good, err := printComparison(&out, "libpq", results{subtest: {Status: pass}}, results{subtest: {Status: fail}})
	if err != nil || !good || !strings.Contains(out.String(), "accepted: "+subtest+": it logs in with wrong passwords") {
		t.Errorf("good %v, %v, printed:\n%s", good, err, &out)
	}
	for _, c := range []struct {
		suite, test string
		there       result
	}{
		{"pgx", subtest, result{Status: fail}}, {"libpq", ". TestAuth/another", result{Status: fail}}, {"libpq", subtest, result{Status: unfinished}},
	} {
		if why := whyAccepted(c.suite, c.test, result{Status: pass}, c.there); why != "" {
			t.Errorf("%+v is accepted: %s", c, why)
		}
	}
}

func TestOfAnAcceptedAnswerOnlyTheNamedLinesMayDiffer(t *testing.T) {
	direct := result{Status: pass, Answer: " TimeZone | UTC\n(1 row)\n(21 rows)"}
	for answer, good := range map[string]bool{
		" TimeZone | UTC\n client_encoding | UTF8\n(1 row)\n(22 rows)": true,
		" TimeZone | CET\n client_encoding | UTF8\n(1 row)\n(22 rows)": false,
	} {
		if why := whyAccepted("psql", `\dconfig`, direct, result{Status: pass, Answer: answer}); (why != "") != good {
			t.Errorf("%q: accepted because %q", answer, why)
		}
	}
}

func TestATestThatTakesTheBinaryWithItIsUnfinished(t *testing.T) {
	output := "\x16=== RUN   TestGood\n\x16--- PASS: TestGood (0.00s)\n\x16=== RUN   TestCrash\npanic: oh\n"
	found, err := readEvents(t.Context(), strings.NewReader(output))
	if err != nil || found["TestGood"].Status != pass || found["TestCrash"].Status != unfinished {
		t.Errorf("got %v, %v", found, err)
	}
}

func TestTwoArchivesThatDifferOnlyInTheirTimeAreEqual(t *testing.T) {
	archive := func(when string) []byte {
		return []byte("PGDMP\x01\x0e\x00\x04\x08\x01" + "\x01\x01\x00\x00\x00" + strings.Repeat("\x00"+when, 7) + "the rest")
	}
	if first, second := string(withoutTime(archive("\x01\x02\x03\x04"))), string(withoutTime(archive("\x05\x06\x07\x08"))); first != second {
		t.Errorf("%q and %q differ", first, second)
	}
	if !strings.HasSuffix(string(withoutTime(archive("\x01\x02\x03\x04"))), "the rest") {
		t.Error("more than the time was left out")
	}
}

func TestASubtestThatIsNamedAfterATemporaryFolderHasTheSameNameInBothLegs(t *testing.T) {
	const name = "TestParse/servicefile='/tmp/TestParse%s/001/pg_service.conf'_service=test"
	found := results{}
	for _, random := range []string{"3808245687", "17"} {
		found.add(event{Action: "pass", Test: fmt.Sprintf(name, random)}, map[string]*strings.Builder{})
	}
	if len(found) != 1 || found["TestParse/servicefile='/tmp/a-folder/pg_service.conf'_service=test"].Status != pass {
		t.Errorf("got %v", found)
	}
}
