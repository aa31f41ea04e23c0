package story

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/plugin/verify"
	"github.com/tidewaiter/tidewaiter/recording"
	"github.com/tidewaiter/tidewaiter/recording/audit"
	"github.com/tidewaiter/tidewaiter/recording/store"
	"github.com/tidewaiter/tidewaiter/test/clustertest"
)

// bucket is what the operator keeps, as it is stored.
func (s *stage) bucket() *store.Bucket {
	s.Helper()
	b, err := store.Open(s.Context(), s.cluster.Recordings)
	s.must(err)
	return b
}

// recordingsArrive verifies what the operator has been given, against its log and the keys that it has published.
func (s *stage) recordingsArrive() {
	b := s.bucket()
	defer b.Close()
	var summary audit.Summary
	s.until("recordings are with the operator", func(ctx context.Context) error {
		keys, err := verify.Published(ctx, s.cluster.Client, "tidewaiter-system")
		if err != nil {
			return err
		}
		var wrong []string
		summary, _, err = audit.Verify(ctx, audit.Options{
			Source: b, Operator: keys.Operator, LogKey: keys.LogKey, Views: keys.Views, Wait: time.Minute,
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
	b := s.bucket()
	defer b.Close()
	out := map[string]string{}
	for object, err := range b.List(s.Context(), store.Recordings) {
		s.must(err)
		session, _, ok := store.ParseSegment(object.Name)
		if !ok {
			continue
		}
		id, err := b.Identity(s.Context(), session)
		s.must(err)
		r, err := b.Open(s.Context(), object.Name)
		s.must(err)
		seg, err := recording.ReadSegment(r)
		s.must(errors.Join(err, r.Close()))
		records, err := seg.Records(id)
		s.must(err)
		out["the records of "+object.Name] = string(records)
	}
	return out
}
