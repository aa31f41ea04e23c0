package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
)

// status is how a test ended.
type status string

const (
	pass status = "pass"
	fail status = "fail"
	skip status = "skip"
	// unfinished is a test that was running when its program crashed or was stopped.
	unfinished status = "unfinished"
)

// result is one test's end.
type result struct {
	Status status
	// Output is what the test said, for people to read when it fails.
	Output string `json:",omitempty"`
	// Answer must be the same in both legs; "" where a status says it all.
	Answer string `json:",omitempty"`
}

// results are a leg's, by the test's name.
type results map[string]result

func readResults(file string) (results, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var r results
	return r, json.Unmarshal(content, &r)
}

func (r results) write(file string) error {
	content, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return os.WriteFile(file, content, 0o600)
}

func (r results) count(s status) int {
	count := 0
	for _, one := range r {
		if one.Status == s {
			count++
		}
	}
	return count
}

// regressions are the tests that pass directly and do not pass, or not with the same answer, through the proxy. A test that did
// not run there at all is one, too.
func regressions(direct, through results) []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(direct)) {
		there := through[name]
		if direct[name].Status == pass && (there.Status != pass || there.Answer != direct[name].Answer) {
			names = append(names, name)
		}
	}
	return names
}

// printDirect prints a leg that is run alone, with what does not pass it and why.
func printDirect(out io.Writer, suite string, direct results) error {
	if err := printCounts(out, suite, "direct", direct); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(direct)) {
		if one := direct[name]; one.Status != pass && one.Status != skip {
			if _, err := fmt.Fprintf(out, "  fails directly: %s\n%s", name, indent(lastLines(one.Output))); err != nil {
				return err
			}
		}
	}
	return nil
}

func printCounts(out io.Writer, suite, leg string, r results) error {
	_, err := fmt.Fprintf(out, "%-10s %-8s %5d pass %5d fail %5d skip\n",
		suite, leg, r.count(pass), r.count(fail)+r.count(unfinished), r.count(skip))
	return err
}

// exception is a difference that a proxy cannot avoid while it does its work.
type exception struct {
	why string
	// lines are the lines of an answer that may differ; the others may not. nil: the test may fail.
	lines *regexp.Regexp
}

const otherUser = "it logs in as a user who does not exist; the user that a client names is a claim to the proxy, not who it is upstream"

// accepted are the tests that are meant to end otherwise behind a proxy that keeps the credential to itself. A test's subtests are
// meant as well.
var accepted = map[string]exception{
	`psql \dconfig`: {
		"it lists settings that are not their default, and the proxy sets client_encoding itself, so that no reload of the server's " +
			"configuration can change how statements are read", regexp.MustCompile(`^ client_encoding |^\(\d+ rows\)$`),
	},
	"libpq . TestAuth/end_to_end": {
		"it logs in with wrong passwords; on loopback the proxy asks for none and keeps the real one to itself", nil,
	},
	"libpq . TestErrorDuringStartup":           {otherUser, nil},
	"libpq . TestErrorDuringStartupClosesConn": {otherUser, nil},
	"pgx pgconn TestConnectInvalidUser":        {otherUser, nil},
}

// whyAccepted is the reason why a test may end otherwise through the proxy, "" if it may not.
func whyAccepted(suite, test string, direct, through result) string {
	for {
		if found, ok := accepted[suite+" "+test]; ok && found.covers(direct, through) {
			return found.why
		}
		parent := strings.LastIndexByte(test, '/')
		if parent < 0 {
			return ""
		}
		test = test[:parent]
	}
}

func (e exception) covers(direct, through result) bool {
	if e.lines == nil {
		return through.Status == fail
	}
	others := func(answer string) []string {
		return slices.DeleteFunc(strings.Split(answer, "\n"), e.lines.MatchString)
	}
	return through.Status == direct.Status && slices.Equal(others(direct.Answer), others(through.Answer))
}

// printComparison prints both legs and each regression, and says whether there is none but those accepted.
func printComparison(out io.Writer, suite string, direct, through results) (bool, error) {
	if err := printCounts(out, suite, "direct", direct); err != nil {
		return false, err
	}
	if err := printCounts(out, suite, "through", through); err != nil {
		return false, err
	}
	good := true
	for _, name := range regressions(direct, through) {
		if why := whyAccepted(suite, name, direct[name], through[name]); why != "" {
			if _, err := fmt.Fprintf(out, "  accepted: %s: %s\n", name, why); err != nil {
				return false, err
			}
			continue
		}
		good = false
		there, ran := through[name]
		what := string(there.Status)
		switch {
		case !ran:
			what = "did not run"
		case there.Status == pass:
			what, there.Output = "another answer", firstDifference(direct[name].Answer, there.Answer)
		}
		if _, err := fmt.Fprintf(out, "  passes direct, through the proxy: %s: %s\n%s", what, name, indent(lastLines(there.Output))); err != nil {
			return false, err
		}
	}
	return good, nil
}

// firstDifference shows the first lines that are not the same in two texts.
func firstDifference(direct, through string) string {
	mine, theirs := strings.Split(direct, "\n"), strings.Split(through, "\n")
	for i := range max(len(mine), len(theirs)) {
		var a, b string
		if i < len(mine) {
			a = mine[i]
		}
		if i < len(theirs) {
			b = theirs[i]
		}
		if a != b {
			return fmt.Sprintf("line %d, direct:  %.200q\nline %d, through: %.200q", i+1, a, i+1, b)
		}
	}
	return "no line differs"
}

// lastLines keeps what a person needs of a long output.
func lastLines(text string) string {
	const enough = 12
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-enough):], "\n")
}

func indent(text string) string {
	if text == "" {
		return ""
	}
	return "      " + strings.ReplaceAll(text, "\n", "\n      ") + "\n"
}
