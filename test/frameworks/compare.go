package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
)

// step is what a session says of one thing that it did.
type step struct {
	Name   string          `json:"step"`
	Answer json.RawMessage `json:"answer,omitempty"`
	Error  string          `json:"error,omitempty"`
	// Masked is the answer to expect through the proxy where it does not follow from the direct one: of values derived from tagged ones.
	Masked json.RawMessage `json:"masked,omitempty"`
	// Refused says why the policy must refuse the step; "" where it must not.
	Refused string `json:"refused,omitempty"`
}

// verdict is how a step's two answers compare.
type verdict string

// The verdicts. The first three are as it should be.
const (
	same      verdict = "same"      // equal answers, or equal errors
	masked    verdict = "masked"    // equal but for tagged values, which are masked as the policy says
	byDesign  verdict = "by design" // refused, as the session expects
	refused   verdict = "refused"   // an error through the proxy alone
	different verdict = "different" // anything else
)

// comparison is a step in both legs.
type comparison struct {
	name            string
	verdict         verdict
	why             string // of a bad verdict
	direct, through step
}

// compare pairs the steps of both legs by their order. A step that one leg lacks is different.
func compare(direct, through []step) []comparison {
	var all []comparison
	for i, d := range direct {
		c := comparison{name: d.Name, direct: d}
		switch {
		case i >= len(through):
			c.verdict, c.why = different, "the session ended before this step"
		case through[i].Name != d.Name:
			c.verdict, c.why = different, fmt.Sprintf("the session did %q instead", through[i].Name)
		default:
			c.through = through[i]
			c.verdict, c.why = judge(d, through[i])
		}
		all = append(all, c)
	}
	return all
}

// judge compares the two answers of a step.
func judge(direct, through step) (verdict, string) {
	if direct.Refused != "" {
		if through.Error != "" && direct.Error == "" {
			return byDesign, ""
		}
		return different, "not refused though it must be: " + direct.Refused
	}
	switch {
	case through.Error != "" && direct.Error == "":
		return refused, through.Error
	case direct.Error != "" || through.Error != "":
		return judgeErrors(direct.Error, through.Error)
	}
	want, got, err := decodeBoth(direct.Answer, through.Answer)
	if err != nil {
		return different, err.Error()
	}
	if direct.Masked != nil {
		expected, same, err := decodeBoth(direct.Masked, through.Answer)
		if err != nil {
			return different, err.Error()
		}
		if where := differs("", expected, same, plainly); where != "" {
			return different, where
		}
		return masked, ""
	}
	if where := differs("", want, got, asMasked); where != "" {
		return different, where
	}
	if secret.Match(direct.Answer) {
		return masked, ""
	}
	return same, ""
}

// withheld is what the proxy says in place of an error text, or of its detail, that may quote a tagged value; the SQLSTATE stays.
var withheld = regexp.MustCompile("is withheld|Tidewaiter withholds")

func judgeErrors(direct, through string) (verdict, string) {
	if direct == through {
		return same, ""
	}
	kind, _, _ := strings.Cut(direct, ":")
	if through != "" && strings.HasPrefix(through, kind+":") && withheld.MatchString(through) {
		return masked, ""
	}
	return different, fmt.Sprintf("the error is %q and should be %q", through, direct)
}

func decodeBoth(a, b []byte) (first, second any, err error) {
	if first, err = decode(a); err != nil {
		return nil, nil, err
	}
	second, err = decode(b)
	return first, second, err
}

func decode(text []byte) (any, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, fmt.Errorf("the session did not answer in JSON: %w", err)
	}
	return value, nil
}

// differs says where two answers differ, and how; "" if they do not. Leaves are compared by fits.
func differs(path string, want, got any, fits func(want, got any) bool) string {
	switch want := want.(type) {
	case map[string]any:
		got, ok := got.(map[string]any)
		if !ok || len(got) != len(want) {
			return fmt.Sprintf("%s: %v, want %v", path, got, want)
		}
		for name := range want {
			if where := differs(path+"."+name, want[name], got[name], fits); where != "" {
				return where
			}
		}
		return ""
	case []any:
		other, ok := got.([]any)
		if !ok || len(other) != len(want) {
			return fmt.Sprintf("%s: %v, want %v", path, got, want)
		}
		for i := range want {
			if where := differs(fmt.Sprintf("%s[%d]", path, i), want[i], other[i], fits); where != "" {
				return where
			}
		}
		return ""
	}
	if fits(want, got) {
		return ""
	}
	return fmt.Sprintf("%s: %s, want %s", path, firstDifference(got, want), excerpt(want))
}

// firstDifference shows a text from the place where it differs.
func firstDifference(got, want any) string {
	g, w := fmt.Sprint(got), fmt.Sprint(want)
	at := 0
	for at < len(g) && at < len(w) && g[at] == w[at] {
		at++
	}
	if at < 40 {
		return excerpt(got)
	}
	return fmt.Sprintf("at %d %s (there: %s)", at, excerpt(g[at-20:]), excerpt(w[at-20:]))
}

// excerpt is a value, cut to what fits a line.
func excerpt(value any) string {
	const most = 300
	text := fmt.Sprintf("%v", value)
	if len(text) > most {
		text = text[:most] + "…"
	}
	return fmt.Sprintf("%q", text)
}

func plainly(want, got any) bool { return want == got }
