package control

import (
	"fmt"
	"slices"
	"time"

	sidecarv1alpha1 "github.com/tidewaiter/tidewaiter/api/sidecar/v1alpha1"
)

// Bounds of what an operator may say.
const (
	maxDataSources = 32
	maxLease       = 10 * time.Minute
)

// Reasons of a Nack, beside those that a Fleet gives.
const (
	ReasonSnapshotRevision = "SnapshotRevision" // not above the one held
	ReasonSnapshotInvalid  = "SnapshotInvalid"  // not what a snapshot may be
	ReasonBundleSigner     = "BundleSigner"     // signed by somebody who may not sign bundles
	ReasonSettingsInvalid  = "SettingsInvalid"  // a data source that cannot be served as told
)

// Refusal is why a part of a snapshot is not taken. Its text is for the operator and holds no secret.
type Refusal struct {
	Reason  string // a word in UpperCamelCase
	Message string
}

// Error returns the message.
func (r *Refusal) Error() string { return r.Message }

func refuse(reason, format string, args ...any) *Refusal {
	return &Refusal{Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// Machine is what a sidecar holds by its operator's word. It is pure: the clock is passed in, and has to be monotonic, as that
// of time.Now is. The zero value holds nothing. It is not safe for concurrent use.
type Machine struct {
	revision uint64
	names    []string // of the data sources in the snapshot that is held
	lease    time.Time
}

// Revision of the snapshot that is held; 0 without one.
func (m *Machine) Revision() uint64 { return m.revision }

// Take judges a snapshot as a whole and holds it, if it is taken. It returns the names of the data sources that are gone.
func (m *Machine) Take(now time.Time, s *sidecarv1alpha1.Snapshot) (gone []string, refusal *Refusal) {
	if s.GetRevision() <= m.revision {
		return nil, refuse(ReasonSnapshotRevision, "snapshot %d is not above %d, which is held", s.GetRevision(), m.revision)
	}
	if n := len(s.GetDataSources()); n > maxDataSources {
		return nil, refuse(ReasonSnapshotInvalid, "the snapshot has %d data sources, of at most %d", n, maxDataSources)
	}
	var names []string
	for _, ds := range s.GetDataSources() {
		if slices.Contains(names, ds.GetName()) {
			return nil, refuse(ReasonSnapshotInvalid, "the snapshot has data source %s twice", ds.GetName())
		}
		names = append(names, ds.GetName())
	}
	for _, name := range m.names {
		if !slices.Contains(names, name) {
			gone = append(gone, name)
		}
	}
	m.revision, m.names = s.GetRevision(), names
	m.Renew(now, s.GetLease())
	return gone, nil
}

// Renew takes a lease: it counts from its receipt. No seconds end it.
func (m *Machine) Renew(now time.Time, l *sidecarv1alpha1.Lease) {
	m.lease = now.Add(min(time.Duration(l.GetSeconds())*time.Second, maxLease))
}

// Leased reports whether new connections may be served at a time, and how long that will stay so.
func (m *Machine) Leased(now time.Time) (left time.Duration, ok bool) {
	if m.revision == 0 {
		return 0, false
	}
	left = m.lease.Sub(now)
	return max(left, 0), left > 0
}

// Revoked returns the data sources that a revocation is about.
func (m *Machine) Revoked(r *sidecarv1alpha1.Revocation) []string {
	if r.GetDataSource() == "" {
		return slices.Clone(m.names)
	}
	if !slices.Contains(m.names, r.GetDataSource()) {
		return nil
	}
	return []string{r.GetDataSource()}
}
