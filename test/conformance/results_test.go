package main

import (
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
	const subtest = ". TestAuth/end to end/wrong password"
	var out strings.Builder
	good, err := printComparison(&out, "libpq", results{subtest: {Status: pass}}, results{subtest: {Status: fail}})
	if err != nil || !good || !strings.Contains(out.String(), "accepted: "+subtest+": it logs in with wrong passwords") {
		t.Errorf("good %v, %v, printed:\n%s", good, err, &out)
	}
	if why := whyAccepted("pgx", subtest); why != "" {
		t.Errorf("accepted in another suite: %s", why)
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
