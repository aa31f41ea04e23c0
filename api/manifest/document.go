package manifest

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	yamlv3 "go.yaml.in/yaml/v3"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/yaml"
)

// document is one YAML document of a file. A JSON file is one too, JSON being YAML.
type document struct {
	place   place
	content []byte
}

// splitDocuments cuts a file at its document markers, "---" and "...", which YAML recognizes only at the beginning of a
// line. What stands beside a marker stays where it is, so that lines and columns remain those of the file.
func splitDocuments(f file) []document {
	var documents []document
	current := document{place: place{file: f.name, document: 1, line: 1}}
	line := 0
	for text := range bytes.Lines(f.content) {
		line++
		if isMarker(text) {
			documents = append(documents, current)
			next := place{file: f.name, document: len(documents) + 1, line: line}
			text = append([]byte("   "), text[3:]...)
			current = document{place: next}
		}
		current.content = append(current.content, text...)
	}
	documents = append(documents, current)
	return number(documents)
}

// number leaves out documents without content and counts the others, as a reader of the file would.
func number(documents []document) []document {
	var kept []document
	for _, d := range documents {
		if isBlank(d.content) {
			continue
		}
		d.place.document = len(kept) + 1
		kept = append(kept, d)
	}
	return kept
}

func isMarker(line []byte) bool {
	if !bytes.HasPrefix(line, []byte("---")) && !bytes.HasPrefix(line, []byte("...")) {
		return false
	}
	rest := line[3:]
	return len(rest) == 0 || bytes.IndexByte([]byte(" \t\r\n"), rest[0]) >= 0
}

func isBlank(content []byte) bool {
	for line := range bytes.Lines(content) {
		if text := bytes.TrimSpace(line); len(text) > 0 && text[0] != '#' {
			return false
		}
	}
	return true
}

// decode returns the document's content as an API server would see it, and its nodes for finding lines. Both are nil
// for a document without content.
func (d document) decode() (any, *yamlv3.Node, Problems) {
	asJSON, err := yaml.YAMLToJSONStrict(d.content)
	if err != nil {
		return nil, nil, d.syntaxProblems(err)
	}
	var content any
	if err := utiljson.Unmarshal(asJSON, &content); err != nil {
		return nil, nil, d.syntaxProblems(err)
	}
	if content == nil {
		return nil, nil, nil
	}
	node := &yamlv3.Node{}
	if err := yamlv3.Unmarshal(d.content, node); err != nil {
		// The two parsers differ in rare places. The first one decides, as it does for kubectl; only lines are lost.
		node = &yamlv3.Node{}
	}
	return content, node, nil
}

var (
	yamlLine  = regexp.MustCompile(`line (\d+): `)
	quoted    = regexp.MustCompile("'[^']{3,}'|`[^`]*`")
	yamlNoise = strings.NewReplacer("error converting YAML to JSON: ", "", "yaml: ", "", "unmarshal errors:", "")
)

// syntaxProblems turns a parser's error into problems with lines of the file. The parser quotes the text it stumbled
// upon in some of its messages, and at this point nobody knows whether that text is a Secret's.
func (d document) syntaxProblems(err error) Problems {
	var problems Problems
	last := d.place.line + max(0, bytes.Count(d.content, []byte("\n"))-1)
	for message := range strings.SplitSeq(yamlNoise.Replace(err.Error()), "\n") {
		message = strings.TrimSpace(message)
		if message == "" {
			continue
		}
		at := d.place
		if found := yamlLine.FindStringSubmatchIndex(message); found != nil {
			if line, err := strconv.Atoi(message[found[2]:found[3]]); err == nil {
				at.line = min(at.line+line-1, last) // the parser may mean the line after the end
			}
			message = message[:found[0]] + message[found[1]:]
		}
		problems.add(at, "", syntaxMessage(message))
	}
	return problems
}

func syntaxMessage(message string) string {
	switch {
	case strings.Contains(message, "unknown anchor"):
		return "is not valid YAML: a value that begins with * refers to an anchor; put the value in quotes"
	case strings.Contains(message, "already set in map"):
		return fmt.Sprintf("is ambiguous: %s; remove one of the two", message)
	}
	return "is not valid YAML: " + quoted.ReplaceAllString(message, "'…'")
}
