// Package protection answers one question about a workload: is it protected? It looks at the pod, its Sessions, the DataSources that
// it attaches to, the policies that select it, its open requests and the latest warnings, and sums up in one line.
//
// It believes what the operator wrote and what the pod says only as far as both agree; what could not be read is never taken
// for a good sign. It must not know commands and flags.
package protection

import (
	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/plugin/finding"
)

// Report is about one pod.
type Report struct {
	// Namespace and Pod.
	Namespace string `json:"namespace"`
	// Pod is its name.
	Pod string `json:"pod"`
	// Protected is whether nothing was found that says otherwise.
	Protected bool `json:"protected"`
	// Verdict is the first line: "protected", or "NOT protected: " and why.
	Verdict string `json:"verdict"`
	// Cure of what is named in the verdict.
	Cure string `json:"cure,omitempty"`
	// Findings, in the order in which they were looked at.
	Findings []finding.Finding `json:"findings"`
	// Uses has an entry for each DataSource that the pod attaches to.
	Uses []Use `json:"dataSources"`
	// Requests that wait for people.
	Requests []Waiting `json:"requests"`
	// Warnings of the last hour, the latest first.
	Warnings []Warning `json:"warnings"`
}

// Use is a pod's attachment to one DataSource.
type Use struct {
	// DataSource as namespace/name.
	DataSource string `json:"dataSource"`
	// Session that the operator keeps; empty where there is none.
	Session string `json:"session,omitempty"`
	// State of the Session.
	State v1alpha1.SessionState `json:"state,omitempty"`
	// Status of the Session, with its counters.
	Status *v1alpha1.SessionStatus `json:"status,omitempty"`
	// Policies that select the pod: "reporting, generation 3".
	Policies []string `json:"policies"`
}

// Waiting is a request that waits.
type Waiting struct {
	// Namespace and Name of the AccessRequest.
	Namespace string `json:"namespace"`
	// Name of the AccessRequest.
	Name string `json:"name"`
	// Summary of what it asks for.
	Summary string `json:"summary"`
	// Expires is when it is void, RFC 3339.
	Expires string `json:"expires"`
}

// Warning is an event.
type Warning struct {
	// At is when it happened last, RFC 3339.
	At string `json:"at"`
	// Reason for machines.
	Reason string `json:"reason"`
	// Text for people.
	Text string `json:"text"`
}

// add notes a finding.
func (r *Report) add(level finding.Level, about, text, cure string) {
	r.Findings = append(r.Findings, finding.Finding{Level: level, About: about, Text: text, Cure: cure})
}

// conclude writes the verdict: the first failure is the reason, because what was looked at first explains what comes later.
func (r *Report) conclude() {
	warnings := 0
	for _, f := range r.Findings {
		switch f.Level {
		case finding.Fail:
			r.Protected, r.Verdict, r.Cure = false, "NOT protected: "+f.Text, f.Cure
			return
		case finding.Warn:
			warnings++
		}
	}
	r.Protected, r.Verdict = true, "protected"
	switch {
	case warnings == 1:
		r.Verdict += "; one thing deserves a look"
	case warnings > 1:
		r.Verdict += "; some things deserve a look"
	}
}
