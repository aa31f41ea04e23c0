package story

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/plugin/reader"
	"github.com/tidewaiter/tidewaiter/plugin/verify"
	"github.com/tidewaiter/tidewaiter/recording"
	"github.com/tidewaiter/tidewaiter/recording/audit"
	"github.com/tidewaiter/tidewaiter/recording/store"
	"github.com/tidewaiter/tidewaiter/test/clustertest"
)

// kept is what the operator keeps, as an auditor reads it: through the operator, which alone can unwrap the sessions' keys.
func (s *stage) kept() (from store.Source, end func()) {
	s.Helper()
	from, closeIt, err := reader.Open(s.Context(), reader.Options{Config: s.cluster.API.Config, Namespace: "tidewaiter-system", URL: s.cluster.Reader()})
	s.must(err)
	return from, func() { s.must(closeIt()) }
}

// recordingsArrive verifies what the operator has been given, against its log and the keys that it has published.
func (s *stage) recordingsArrive() {
	from, end := s.kept()
	defer end()
	var summary audit.Summary
	s.until("recordings are with the operator", func(ctx context.Context) error {
		time.Sleep(time.Second) // each look reads all of it
		keys, err := verify.Published(ctx, s.cluster.Client, "tidewaiter-system")
		if err != nil {
			return err
		}
		var wrong []string
		summary, _, err = audit.Verify(ctx, audit.Options{
			Source: from, Operator: keys.Operator, LogKey: keys.LogKey, Views: keys.Views, Wait: time.Minute,
			Report: func(f audit.Finding) { wrong = append(wrong, fmt.Sprintf("%s: %s %s", f.Code, f.Object, f.What)) },
		})
		switch {
		case err != nil:
			return err
		case summary.Tampered+summary.Incomplete > 0:
			return clustertest.Hopeless(errors.New(strings.Join(wrong, "\n")))
		case summary.Sessions < 2 || summary.Records == 0 || summary.Unopened > 0:
			return fmt.Errorf("there is too little: %+v", summary)
		}
		return nil
	})
	s.Logf("%d sessions in %d segments are with the operator, and its log has %d leaves", summary.Sessions, summary.Segments, summary.Leaves)
}

// opened returns the records of every segment that is kept, by the segment's name, as they are when they are decrypted.
func (s *stage) opened() map[string]string {
	s.Helper()
	from, end := s.kept()
	defer end()
	out := map[string]string{}
	for object, err := range from.List(s.Context(), store.Recordings) {
		s.must(err)
		session, _, ok := store.ParseSegment(object.Name)
		if !ok {
			continue
		}
		id, err := from.Identity(s.Context(), session)
		s.must(err)
		r, err := from.Open(s.Context(), object.Name)
		s.must(err)
		seg, err := recording.ReadSegment(r)
		s.must(errors.Join(err, r.Close()))
		records, err := seg.Records(id)
		s.must(err)
		out["the records of "+object.Name] = string(records)
	}
	return out
}
