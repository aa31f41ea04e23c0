package approvals

import (
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"

	sidecarv1alpha1 "github.com/tidewaiter/tidewaiter/api/sidecar/v1alpha1"
	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
)

// longest is how long a sidecar keeps a grant before it asks again, which is answered at once while the grant holds.
const longest = 24 * time.Hour

// granted finds what people have approved already and is good for this question as well, and what to lend of it.
func (s *store) granted(pod Pod, a *ask, now time.Time) (*v1alpha1.AccessRequest, *sidecarv1alpha1.Grant) {
	who := workload{a.dataSource, pod.Namespace, pod.ServiceAccount}
	if a.exceeded == nil { // access is for statements, not for more of them than a limit
		for key := range s.ahead[who] {
			if r := s.requests[key]; ahead(r, a, now) {
				return r, accessGrant(r, now)
			}
		}
	}
	if a.shapeKey == "" {
		return nil, nil
	}
	for key := range s.alike[likeKey{who, a.ruleKey, a.shapeKey, a.exceeded != nil}] {
		r := s.requests[key]
		if grant := likeGrant(r, pod, a, now); grant != nil {
			return r, grant
		}
	}
	return nil, nil
}

// likeGrant is what the approval of r lends to a question of its rules and shape, or nil. What the rules grant now decides,
// so that an owner who has made it less is obeyed; what they granted then bounds it, as status.grantedUntil.
func likeGrant(r *v1alpha1.AccessRequest, pod Pod, a *ask, now time.Time) *sidecarv1alpha1.Grant {
	if !approved(r) || r.Spec.Statement == nil || a.shapeKey == "" || r.Spec.Statement.Shape != a.shapeKey {
		return nil
	}
	until := r.Status.GrantedUntil
	if until != nil && !now.Before(until.Time) {
		return nil
	}
	grant := &sidecarv1alpha1.Grant{Name: r.Name, Rules: qualified(r), Shape: a.shape, Seconds: uint32(longest / time.Second)}
	switch {
	case a.terms.session:
		by := r.Spec.Requester.Pod
		if by == nil || types.UID(by.UID) != pod.UID || r.Spec.Statement.Session != a.session {
			return nil
		}
		grant.Session = a.session
	case !a.terms.timed || until == nil:
		return nil
	}
	if until != nil {
		grant.Seconds = secondsLeft(until.Time, now)
	}
	if grant.Seconds == 0 {
		return nil
	}
	return grant
}

// ahead reports whether access that was approved before covers everything that is asked.
func ahead(r *v1alpha1.AccessRequest, a *ask, now time.Time) bool {
	access, until := r.Spec.Access, r.Status.GrantedUntil
	if !approved(r) || access == nil || until == nil || secondsLeft(until.Time, now) == 0 || len(a.statements) == 0 {
		return false
	}
	rules := rulesOfSpec(&r.Spec)
	if slices.ContainsFunc(a.rules, func(ref v1alpha1.RuleReference) bool { return !slices.Contains(rules, ref) }) {
		return false
	}
	allowed := classes(access)
	for _, st := range a.statements {
		if !slices.Contains(allowed, st.kind) {
			return false
		}
		for _, feature := range st.features {
			if !slices.Contains(allowed, feature) {
				return false
			}
		}
		for _, table := range st.tables {
			if !slices.ContainsFunc(access.Tables, func(p v1alpha1.TablePattern) bool { return matches(string(p), table) }) {
				return false
			}
		}
	}
	return true
}

// classes are the kinds and features that access lists, with the ordinary kinds in the place of *.
func classes(access *v1alpha1.RequestedAccess) []string {
	var out []string
	add := func(c v1alpha1.StatementClass) {
		if !slices.Contains(out, string(c)) {
			out = append(out, string(c))
		}
	}
	for _, c := range access.Statements {
		if c != v1alpha1.AnyOrdinaryKind {
			add(c)
			continue
		}
		for _, kind := range v1alpha1.OrdinaryKinds() {
			add(kind)
		}
	}
	return out
}

// matches reports whether a pattern schema.table, with * for any text within a part, is about a table. A name with a dot of
// its own cannot be told apart, and only *.* is about it.
func matches(pattern, table string) bool {
	schema, name, ok := strings.Cut(table, ".")
	patternSchema, patternName, patternOK := strings.Cut(pattern, ".")
	switch {
	case !ok || !patternOK:
		return false
	case strings.Contains(name, "."):
		return pattern == "*.*"
	}
	return like(schema, patternSchema) && like(name, patternName)
}

// like reports whether a text matches a pattern, in which * is any text.
func like(text, pattern string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return text == pattern
	}
	if !strings.HasPrefix(text, parts[0]) {
		return false
	}
	text = text[len(parts[0]):]
	for _, p := range parts[1 : len(parts)-1] {
		at := strings.Index(text, p)
		if at < 0 {
			return false
		}
		text = text[at+len(p):]
	}
	return strings.HasSuffix(text, parts[len(parts)-1])
}

func accessGrant(r *v1alpha1.AccessRequest, now time.Time) *sidecarv1alpha1.Grant {
	grant := &sidecarv1alpha1.Grant{
		Name: r.Name, Rules: qualified(r), Seconds: secondsLeft(r.Status.GrantedUntil.Time, now),
		Access: &sidecarv1alpha1.GrantedAccess{Classes: classes(r.Spec.Access)},
	}
	for _, table := range r.Spec.Access.Tables {
		grant.Access.Tables = append(grant.Access.Tables, string(table))
	}
	return grant
}

// qualified are a request's rules as the protocol names them.
func qualified(r *v1alpha1.AccessRequest) []*sidecarv1alpha1.RuleReference {
	var out []*sidecarv1alpha1.RuleReference
	for _, ref := range rulesOfSpec(&r.Spec) {
		out = append(out, &sidecarv1alpha1.RuleReference{Policy: r.Namespace + "/" + string(ref.Policy), Rule: ref.Rule})
	}
	return out
}

// secondsLeft are whole ones, so that a sidecar is never later than the operator.
func secondsLeft(until, now time.Time) uint32 {
	return uint32(min(max(0, until.Sub(now)), longest) / time.Second)
}
