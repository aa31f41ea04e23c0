package compile

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
)

// masks find what happens to the values of a tag: by the tag itself, else by the
// first pattern that matches.
type masks struct {
	Exact    map[string]strategy `json:"exact"`
	Patterns []maskPattern       `json:"patterns"`
}

// maskPattern is a tag pattern with a "*". The list of them is in order of
// precedence.
type maskPattern struct {
	Pattern string   `json:"pattern"` // anchored regular expression
	Mask    strategy `json:"mask"`

	specificity int
}

// strategy has the field names that the sidecar reads.
type strategy struct {
	Strategy   string `json:"strategy"`
	KeepDomain bool   `json:"keepDomain,omitempty"`
	KeepFirst  int    `json:"keepFirst,omitempty"`
	KeepLast   int    `json:"keepLast,omitempty"`
	TruncateTo string `json:"truncateTo,omitempty"`
	Rule       string `json:"rule"` // "namespace/policy masks[1]"
}

// compileMasks pools the masks of the policies: the most specific pattern first,
// among equals the stricter strategy, then the order of the policies.
func compileMasks(policies []*v1alpha1.AccessPolicy) masks {
	out := masks{Exact: map[string]strategy{}, Patterns: []maskPattern{}}
	for _, p := range policies {
		for i := range p.Spec.Masks {
			s := normalize(&p.Spec.Masks[i])
			s.Rule = fmt.Sprintf("%s masks[%d]", fullName(p), i)
			for _, tag := range p.Spec.Masks[i].Tags {
				out.add(string(tag), s)
			}
		}
	}
	slices.SortStableFunc(out.Patterns, func(a, b maskPattern) int {
		return cmp.Or(cmp.Compare(b.specificity, a.specificity), cmp.Compare(leniency(a.Mask), leniency(b.Mask)))
	})
	return out
}

func (m *masks) add(tag string, s strategy) {
	if strings.Contains(tag, "*") {
		m.Patterns = append(m.Patterns, maskPattern{Pattern: tagExpression(tag), Mask: s, specificity: specificity(tag)})
		return
	}
	if before, ok := m.Exact[tag]; !ok || leniency(s) < leniency(before) {
		m.Exact[tag] = s
	}
}

// normalize keeps the options that fit the strategy. What is not a strategy, or
// keeps nothing, redacts.
func normalize(m *v1alpha1.Mask) strategy {
	switch m.Strategy {
	case v1alpha1.MaskNull, v1alpha1.MaskHash, v1alpha1.MaskReveal:
		return strategy{Strategy: string(m.Strategy)}
	case v1alpha1.MaskPartial:
		s := strategy{
			Strategy: string(m.Strategy), KeepDomain: m.KeepDomain != nil && *m.KeepDomain,
			KeepFirst: atLeastZero(m.KeepFirst), KeepLast: atLeastZero(m.KeepLast),
		}
		if s.KeepDomain || s.KeepFirst+s.KeepLast > 0 {
			return s
		}
	case v1alpha1.MaskDateTrunc:
		if slices.Contains(units, m.TruncateTo) {
			return strategy{Strategy: string(m.Strategy), TruncateTo: string(m.TruncateTo)}
		}
	}
	return strategy{Strategy: string(v1alpha1.MaskRedact)}
}

func atLeastZero(n *int32) int {
	if n == nil {
		return 0
	}
	return max(0, int(*n))
}

// strategies and units are in order of strictness, the same as the maskers'.
var (
	strategies = []v1alpha1.MaskStrategy{
		v1alpha1.MaskNull, v1alpha1.MaskRedact, v1alpha1.MaskHash,
		v1alpha1.MaskDateTrunc, v1alpha1.MaskPartial, v1alpha1.MaskReveal,
	}
	units = []v1alpha1.TruncateUnit{
		v1alpha1.TruncateToYear, v1alpha1.TruncateToMonth, v1alpha1.TruncateToDay, v1alpha1.TruncateToHour,
	}
)

// leniency is larger for what shows more: first by strategy, then by how much of
// the value is kept.
func leniency(s strategy) int {
	kept := s.KeepFirst + s.KeepLast
	if s.KeepDomain {
		kept += 1 << 8
	}
	kept += slices.Index(units, v1alpha1.TruncateUnit(s.TruncateTo)) + 1
	return slices.Index(strategies, v1alpha1.MaskStrategy(s.Strategy))<<12 + kept
}
