package compile

import (
	"cmp"
	"errors"
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
	Mode       string `json:"mode,omitempty"` // "Source", or empty for Result
	Rule       string `json:"rule"`           // "namespace/policy masks[1]"
}

// compileMasks pools the masks of the policies: the most specific pattern first,
// among equals the stricter strategy, then
// mode Source, then the order of the policies.
func compileMasks(policies []*v1alpha1.AccessPolicy) (masks, error) {
	out := masks{Exact: map[string]strategy{}, Patterns: []maskPattern{}}
	for _, p := range policies {
		for i := range p.Spec.Masks {
			s := normalize(&p.Spec.Masks[i])
			var err error
			if s.Mode, err = modeOfMask(&p.Spec.Masks[i]); err != nil {
				return masks{}, fmt.Errorf("AccessPolicy %s: spec.masks[%d].%w", fullName(p), i, err)
			}
			s.Rule = fmt.Sprintf("%s masks[%d]", fullName(p), i)
			for _, tag := range p.Spec.Masks[i].Tags {
				out.add(string(tag), s)
			}
		}
	}
	slices.SortStableFunc(out.Patterns, func(a, b maskPattern) int {
		return cmp.Or(cmp.Compare(b.specificity, a.specificity), cmp.Compare(leniency(a.Mask), leniency(b.Mask)))
	})
	return out, nil
}

// modeOfMask is Source for everything that is neither Result nor left out. What
// masks at the source must be an expression that the database computes: it must not
// have the key of Hash, and with Reveal there is nothing to compute.
func modeOfMask(m *v1alpha1.Mask) (string, error) {
	if m.Mode == "" || m.Mode == v1alpha1.MaskInResult {
		return "", nil
	}
	switch m.Strategy {
	case v1alpha1.MaskHash:
		return "", errors.New("mode: Source cannot use strategy Hash, since the database server would need the key: " +
			"set strategy to Redact, Null or Partial, or mode to Result")
	case v1alpha1.MaskReveal:
		return "", errors.New("mode: Source masks nothing with strategy Reveal: remove mode, or set another strategy")
	}
	return string(v1alpha1.MaskAtSource), nil
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
// the value is kept, then by where it is masked.
func leniency(s strategy) int {
	kept := s.KeepFirst + s.KeepLast
	if s.KeepDomain {
		kept += 1 << 8
	}
	kept += slices.Index(units, v1alpha1.TruncateUnit(s.TruncateTo)) + 1
	where := 0
	if s.Mode == "" {
		where = 1
	}
	return slices.Index(strategies, v1alpha1.MaskStrategy(s.Strategy))<<13 + kept<<1 + where
}
