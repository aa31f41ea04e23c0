package v1alpha1

import "strings"

// Matches says whether a tag fits the pattern; * stands for any text, slashes included.
func (p TagPattern) Matches(tag Tag) bool {
	return matchWildcard(string(p), string(tag))
}

// matchWildcard takes time in proportion to the product of the lengths at worst: it goes back to the last * only.
func matchWildcard(pattern, text string) bool {
	p, t, star, resume := 0, 0, -1, 0
	for t < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, resume = p, t
			p++
		case p < len(pattern) && pattern[p] == text[t]:
			p++
			t++
		case star >= 0:
			resume++
			p, t = star+1, resume
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
