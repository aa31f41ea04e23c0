package session

import (
	"slices"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
)

// Measure says how far a policy has come into the sidecars that it concerns.
type Measure struct {
	// Sidecars that the policy concerns.
	Sidecars int
	// Enforcing of them have acknowledged the policy's generation.
	Enforcing int
	// Revision is the lowest that an enforcing sidecar has acknowledged; 0 if none
	// enforces it.
	Revision int64
	// Waiting are the "namespace/pod"s of those that have not, sorted.
	Waiting []string
	// Rejected are those that refused their latest revision, sorted by pod.
	Rejected []Rejection
}

// Rejection is a sidecar's refusal.
type Rejection struct {
	Pod     string // "namespace/pod"
	Reason  string
	Message string
}

// MeasurePolicy measures by the Sessions of the policy's data sources. Sessions of
// others are left out. Concerned says, for a Session that does not list the policy,
// whether the policy selects its pod all the same; nil means no. A sidecar that is
// Lost waits: it may still decide by an earlier generation.
func MeasurePolicy(policy *v1alpha1.AccessPolicy, sessions []v1alpha1.Session, concerned func(*v1alpha1.Session) bool) Measure {
	return measure(sessions, func(s *v1alpha1.Session) (concerns, enforces bool) {
		if s.Spec.DataSource.Namespace != policy.Namespace || !slices.ContainsFunc(policy.Spec.DataSources,
			func(r v1alpha1.DataSourceReference) bool { return r.Name == s.Spec.DataSource.Name }) {
			return false, false
		}
		for _, p := range s.Status.Policies {
			if string(p.Name) == policy.Name {
				return true, p.Generation >= policy.Generation
			}
		}
		return concerned != nil && concerned(s), false
	})
}

// MeasureDataSource measures by the Sessions of a DataSource: a sidecar enforces
// when it has acknowledged a bundle and refused none since.
func MeasureDataSource(ds *v1alpha1.DataSource, sessions []v1alpha1.Session) Measure {
	return measure(sessions, func(s *v1alpha1.Session) (concerns, enforces bool) {
		return s.Spec.DataSource.Namespace == ds.Namespace && string(s.Spec.DataSource.Name) == ds.Name,
			s.Status.Revision > 0
	})
}

func measure(sessions []v1alpha1.Session, judge func(*v1alpha1.Session) (concerns, enforces bool)) Measure {
	var m Measure
	for i := range sessions {
		s := &sessions[i]
		concerns, enforces := judge(s)
		if !concerns || s.Status.State == v1alpha1.SessionEnded || s.Status.State == v1alpha1.SessionRevoked {
			continue
		}
		m.Sidecars++
		pod := s.Namespace + "/" + string(s.Spec.Pod.Name)
		present := s.Status.State == v1alpha1.SessionActive || s.Status.State == v1alpha1.SessionIdle
		switch r := s.Status.Rejection; {
		case r != nil:
			m.Rejected = append(m.Rejected, Rejection{pod, r.Reason, r.Message})
		case enforces && present:
			m.Enforcing++
			if m.Revision == 0 || s.Status.Revision < m.Revision {
				m.Revision = s.Status.Revision
			}
		default:
			m.Waiting = append(m.Waiting, pod)
		}
	}
	slices.Sort(m.Waiting)
	slices.SortFunc(m.Rejected, func(a, b Rejection) int {
		if a.Pod < b.Pod {
			return -1
		}
		return 1
	})
	return m
}
