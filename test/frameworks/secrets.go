package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
)

// The tagged values of the sessions have shapes that nothing else has.
var (
	email  = `[uU][sS][eE][rR]\d+@(?i:canary\.example)`
	ssn    = `9\d\d-45-6\d\d\d`
	key    = `sk_canary_[0-9a-f]{32}`
	card   = `41111111\d{8}`
	amount = `777\d{4}(?:\.25)?`

	secret  = regexp.MustCompile(email + "|" + ssn + "|" + key + "|" + card + "|" + amount)
	cards   = regexp.MustCompile("^" + card + "$")
	amounts = regexp.MustCompile("^" + amount + "$")
	whole   = regexp.MustCompile("^(?:" + secret.String() + ")$")
)

// stars is what Redact makes of a text.
const stars = "*****"

// mask is what the policy makes of one tagged value.
func mask(value string) string {
	switch {
	case cards.MatchString(value):
		return "***" + value[len(value)-4:]
	case amounts.MatchString(value):
		return "0"
	}
	return stars
}

// asMasked says whether a value is what the policy shows of another: itself if it holds no tagged value, the mask if it is one. A
// text with a tagged value inside has the mask in its place where the proxy knows the shape (JSON, a dump), and is stars otherwise.
func asMasked(direct, through any) bool {
	switch direct := direct.(type) {
	case json.Number:
		if amounts.MatchString(direct.String()) {
			return through == json.Number("0")
		}
	case string:
		if amounts.MatchString(direct) {
			return through == "0" || through == "0.00" // pgJDBC shows a numeric with the scale of its column
		}
		if whole.MatchString(direct) {
			return through == mask(direct)
		}
		if secret.MatchString(direct) {
			return through == stars || through == secret.ReplaceAllStringFunc(direct, mask)
		}
	}
	return direct == through
}

// leaking are pieces of tagged values in every form of text that a client might receive: as they are, reversed, as hex, as base64.
var leaking = regexp.MustCompile(`9\d\d-45-6\d\d\d|(?i:@canary|sk_canary|\dcanary)|yranac|(?i:63616e617279)|Y2FuYXJ5|NhbmFye|jYW5hcn|41111111\d|777\d{4}\.\d`)

// leaksIn lists what gives tagged values away in what a client received, at most a handful.
func leaksIn(received [][]byte) []string {
	const enough = 5
	var found []string
	for i, all := range received {
		places := leaking.FindAllIndex(all, enough)
		if at := binaryAmount(all); at >= 0 {
			places = append(places, []int{at, at + amountSize})
		}
		for _, at := range places {
			from, to := max(0, at[0]-40), min(len(all), at[1]+40)
			found = append(found, fmt.Sprintf("connection %d, byte %d: %q", i+1, at[0], all[from:to]))
		}
	}
	return found[:min(len(found), enough)]
}

// amountSize is the length of an amount's digits in binary format: groups of base 10000, 777 first and 2500 last.
const amountSize = 6

// binaryAmount finds an amount in binary format; -1 if there is none.
func binaryAmount(all []byte) int {
	for at := 0; ; at++ {
		next := bytes.Index(all[at:], []byte("\x03\x09"))
		if next < 0 {
			return -1
		}
		at += next
		if bytes.HasPrefix(all[min(at+4, len(all)):], []byte("\x09\xc4")) {
			return at
		}
	}
}
