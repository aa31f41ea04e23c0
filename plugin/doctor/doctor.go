// Package doctor looks at an installation: what has to be there, whether it is as it has to be, and what to do where it is not.
//
// What has to be there is read from the manifests that this program was built with, so that an older installation shows. What
// may not be read is a warning, never a good sign. It must not know commands and flags, and changes nothing.
package doctor

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/tidewaiter/tidewaiter/plugin/cluster"
	"github.com/tidewaiter/tidewaiter/plugin/finding"
	"github.com/tidewaiter/tidewaiter/plugin/table"
)

// Report is what was found.
type Report struct {
	// Healthy is false where something failed.
	Healthy bool `json:"healthy"`
	// Sections in the order in which they were looked at.
	Sections []Section `json:"sections"`
}

// Section is one part of an installation.
type Section struct {
	// Title for people.
	Title string `json:"title"`
	// Findings of the part.
	Findings []finding.Finding `json:"findings"`
}

// Doctor looks at one cluster.
type Doctor struct {
	// Cluster to look at.
	Cluster *cluster.Cluster
	// Namespace of the operator.
	Namespace string
	// Now is the clock.
	Now func() time.Time
}

// install is what brings an installation up to date.
const install = "kubectl apply --server-side -k config/default, or helm upgrade --install; see docs/install.md"

// Examine looks at everything. It fails only where no API server answers.
func (d *Doctor) Examine(ctx context.Context) (*Report, error) {
	version, err := d.Cluster.Kube.Discovery().ServerVersion()
	if err != nil {
		return nil, fmt.Errorf("the API server does not answer: %w: check --kubeconfig and --context", err)
	}
	r := &Report{Healthy: true}
	parts := []struct {
		title string
		look  func(context.Context, *Section)
	}{
		{"API server", func(_ context.Context, s *Section) { s.version(version) }},
		{"definitions", d.definitions},
		{"operator", d.operator},
		{"admission", d.admission},
		{"namespaces", d.namespaces},
		{"data", d.data},
		{"you", d.caller},
	}
	for _, part := range parts {
		s := &Section{Title: part.title, Findings: []finding.Finding{}}
		part.look(ctx, s)
		for _, f := range s.Findings {
			r.Healthy = r.Healthy && f.Level != finding.Fail
		}
		r.Sections = append(r.Sections, *s)
	}
	return r, ctx.Err()
}

func (s *Section) add(level finding.Level, about, text, cure string) {
	s.Findings = append(s.Findings, finding.Finding{Level: level, About: about, Text: text, Cure: cure})
}

func (s *Section) ok(about, text string) { s.add(finding.OK, about, text, "") }

// unread notes what could not be looked at. Who may not read it has not found it missing.
func (s *Section) unread(about string, err error, verb, resource string) {
	if apierrors.IsForbidden(err) {
		group, name := "", resource
		if before, after, ok := strings.Cut(resource, "."); ok {
			name, group = before, after
		}
		s.add(finding.Warn, about, "you may not "+verb+" "+resource+", so this was not looked at", "ask for the rule "+cluster.Rule(group, name, "", verb))
		return
	}
	s.add(finding.Fail, about, "could not be read: "+err.Error(), "")
}

// Write prints the report, with a last line that sums up.
func (r *Report) Write(w io.Writer, color bool) error {
	var b strings.Builder
	counts := map[finding.Level]int64{}
	for _, s := range r.Sections {
		b.WriteString(table.Paint(s.Title, table.Strong, color) + "\n")
		for i, f := range s.Findings {
			last := i == len(s.Findings)-1 || s.Findings[i+1].Cure != f.Cure // one cure of several is said once
			f.Write(&b, "  ", last, color)
			counts[f.Level]++
		}
	}
	line, style := "all is well", table.Good
	switch failed, warned := counts[finding.Fail], counts[finding.Warn]; {
	case failed > 0:
		line, style = table.Count(failed, "failure")+", "+table.Count(warned, "warning"), table.Bad
	case warned > 0:
		line, style = "no failure, "+table.Count(warned, "warning"), table.Attention
	}
	b.WriteString(table.Paint(line, style, color) + "\n")
	_, err := io.WriteString(w, b.String())
	return err
}
