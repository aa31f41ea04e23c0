package manifest

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// maxShownValue is how many bytes of a wrong value a message repeats.
const maxShownValue = 80

// explain says what is wrong with a field and what to do. It keeps the words of the schema, which are those that an API
// server answers with, and adds what only the reader of the schema would know.
func (s *kindSchema) explain(e *field.Error) string {
	detail := strings.TrimPrefix(e.Detail, e.Field+" in body ")
	switch e.Type {
	case field.ErrorTypeRequired:
		return "is required" + s.purpose(e.Field)
	case field.ErrorTypeNotSupported:
		return s.notSupported(e)
	case field.ErrorTypeDuplicate:
		return valueThen(e.BadValue, "is there twice: remove one of the two")
	case field.ErrorTypeTooMany, field.ErrorTypeTooLong:
		return detail + s.purpose(e.Field)
	case field.ErrorTypeTypeInvalid:
		return typeMessage(detail) + s.purpose(e.Field)
	}
	if strings.HasPrefix(detail, "should ") { // the schema's own words, which tell no cure
		detail += s.purpose(e.Field)
	}
	if mayHoldPassword(e.Field) || strings.HasPrefix(detail, "should have ") { // the latter speaks of a count
		return detail
	}
	return valueThen(e.BadValue, detail)
}

// mayHoldPassword names fields whose values are not repeated: people have written connection strings with passwords
// into environment variables before.
func mayHoldPassword(path string) bool {
	return strings.HasPrefix(path, "spec.inject.env[")
}

// typeMessage turns `must be of type integer: "string"` around, so that it says which of the two was written.
func typeMessage(detail string) string {
	want, got, found := strings.Cut(strings.TrimPrefix(detail, "must be of type "), ": ")
	if !found {
		return detail
	}
	got = strings.Trim(got, `"`)
	if got == "float64" && strings.HasPrefix(want, "int") {
		return "must be a whole number, and not a huge one"
	}
	return fmt.Sprintf("must be of type %s, but is of type %s", want, got)
}

func (s *kindSchema) notSupported(e *field.Error) string {
	var allowed []string
	if at := s.at(e.Field); at != nil && at.ValueValidation != nil {
		for _, value := range at.ValueValidation.Enum {
			if text, ok := value.Object.(string); ok {
				allowed = append(allowed, text)
			}
		}
	}
	value, ok := e.BadValue.(string)
	if !ok || len(allowed) == 0 {
		return valueThen(e.BadValue, e.Detail)
	}
	return valueThen(value, "is not supported: "+suggest(value, allowed))
}

// unknownField says what the field could have been meant to be.
func (s *kindSchema) unknownField(path string) string {
	parent, name := "", path
	if i := strings.LastIndex(path, "."); i >= 0 {
		parent, name = path[:i], path[i+1:]
	}
	at := s.at(parent)
	if at == nil || len(at.Properties) == 0 {
		return "is not a known field: remove it, or look at its spelling and indentation"
	}
	return "is not a known field: " + suggest(name, slices.Sorted(maps.Keys(at.Properties)))
}

// purpose is the first sentence of a field's documentation, which tells what to write.
func (s *kindSchema) purpose(path string) string {
	at := s.at(path)
	if at == nil || at.Description == "" {
		return ""
	}
	sentence, _, _ := strings.Cut(strings.ReplaceAll(at.Description, "\n", " "), ". ")
	return ": " + strings.TrimSuffix(sentence, ".")
}

// valueThen puts the wrong value before the message, unless it is a whole object, which would hide the message.
func valueThen(value any, message string) string {
	switch value := value.(type) {
	case string:
		if len(value) > maxShownValue {
			value = strings.ToValidUTF8(value[:maxShownValue], "") + "…"
		}
		return fmt.Sprintf("%q %s", value, message)
	case bool, int, int32, int64, float64, json.Number:
		return fmt.Sprintf("%v %s", value, message)
	}
	return message
}

// suggest names the choice that was probably meant, or all of them.
func suggest(word string, choices []string) string {
	best, distance := "", max(2, len(word)/3)+1
	for _, choice := range choices {
		if d := editDistance(strings.ToLower(word), strings.ToLower(choice)); d < distance {
			best, distance = choice, d
		}
	}
	if best != "" {
		return fmt.Sprintf("did you mean %s?", best)
	}
	if len(choices) == 1 {
		return "use " + choices[0]
	}
	return "use one of " + strings.Join(choices, ", ")
}

// editDistance counts the bytes to insert, delete or replace between two words (Levenshtein). Words longer than any
// field's name are not compared.
func editDistance(a, b string) int {
	if len(a) > maxShownValue || len(b) > maxShownValue {
		return maxShownValue
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
