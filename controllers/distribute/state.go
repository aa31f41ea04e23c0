package distribute

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	sidecarv1alpha1 "github.com/tidewaiter/tidewaiter/api/sidecar/v1alpha1"
	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/controllers/recordings"
)

// seen is what a sidecar's Session is made from, for one data source.
type seen struct {
	claim    claimed
	kept     error // why the policy before stays in force
	report   *sidecarv1alpha1.Report
	recorded *recordings.Done // the latest session that has ended and is kept
}

// statusOf is the Session's status.
func statusOf(l *ledger, name types.NamespacedName, s seen) v1alpha1.SessionStatus {
	st := v1alpha1.SessionStatus{State: v1alpha1.SessionIdle, Rejection: l.rejected[name]}
	if d := s.recorded; d != nil {
		st.Recording, st.ChainHead, st.LogIndex = d.URI, d.Chain.String(), d.LogIndex
	}
	if r := s.report; r != nil {
		st.Connections, st.Statements, st.Denied = count(r.GetConnections()), count(r.GetStatements()), count(r.GetDenied())
		st.Held, st.Masked = count(r.GetHeld()), count(r.GetMaskedValues())
		st.Rows, st.Bytes = count(r.GetRows()), count(r.GetBytes())
		st.Alarms = count(r.GetAlarms())
		if at := r.GetLastActivity(); at.IsValid() && at.GetSeconds() > 0 {
			t := metav1.NewTime(at.AsTime().Truncate(1e9)) // as it is stored
			st.LastActivity = &t
		}
		st.Conditions = slowDrip(r)
	}
	if st.Connections > 0 {
		st.State = v1alpha1.SessionActive
	}
	force := l.force[name]
	if force != nil {
		st.Revision, st.DataSourceGeneration = count(force.revision), force.generation
	}
	st.Policies = policiesOf(s.claim.policies, force)
	switch {
	case s.claim.verdict == refuse:
		st.State, st.Connections, st.Policies = v1alpha1.SessionRevoked, 0, nil
		st.Message = s.claim.reason + ": " + s.claim.message
	case s.claim.verdict == hold:
		if force != nil && st.Policies == nil { // which policies there are is not known: those in force are
			for _, v := range force.policies {
				st.Policies = append(st.Policies, v1alpha1.SessionPolicy{Name: v1alpha1.ObjectName(v.name), Generation: v.generation})
			}
		}
		st.Message = s.claim.reason + ": " + s.claim.message
	case s.kept != nil:
		st.Message = s.kept.Error()
	}
	st.Message = clip(st.Message, 512)
	return st
}

// slowDrip is the condition of a workload that reads on and on; nil: it does not, or says that it will.
func slowDrip(r *sidecarv1alpha1.Report) []metav1.Condition {
	since := r.GetSlowDripSince()
	if !since.IsValid() || since.GetSeconds() <= 0 || since.AsTime().After(time.Now().Add(time.Hour)) {
		return nil
	}
	return []metav1.Condition{{
		Type: v1alpha1.ConditionSlowDrip, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonSustainedReading,
		LastTransitionTime: metav1.NewTime(since.AsTime().Truncate(time.Second)),
		Message:            "classified columns were read in at least 30 of 60 minutes while 80 % or more of an hourly budget was used",
	}}
}

// policiesOf are the policies that select the pod, each with the generation in
// force.
func policiesOf(selected []*v1alpha1.AccessPolicy, force *part) []v1alpha1.SessionPolicy {
	var out []v1alpha1.SessionPolicy
	for _, p := range selected {
		entry := v1alpha1.SessionPolicy{Name: v1alpha1.ObjectName(p.Name)}
		if force != nil {
			for _, v := range force.policies {
				if v.name == p.Name && v.uid == p.UID {
					entry.Generation = v.generation
				}
			}
		}
		out = append(out, entry)
	}
	slices.SortFunc(out, func(a, b v1alpha1.SessionPolicy) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// count is a sidecar's number as the API has it.
func count(n uint64) int64 {
	const most = 1 << 53 // what JSON's readers agree on
	return int64(min(n, most))
}

// clip cuts s to at most limit bytes of valid text.
func clip(s string, limit int) string {
	s = strings.ToValidUTF8(s, "?")
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit-3], "") + "…"
}

// explain says why a part could not be made, for a sidecar that has none.
func explain(name types.NamespacedName, err error) claimed {
	return claimed{name: name, verdict: hold, reason: ReasonPolicyInvalid, message: fmt.Sprintf("DataSource %s: %v", name, err)}
}
