package stream_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/recording"
	"github.com/tidewaiter/tidewaiter/recording/recordingtest"
	"github.com/tidewaiter/tidewaiter/recording/store"
	"github.com/tidewaiter/tidewaiter/recording/stream"
)

var name = store.Session{Namespace: "shop", UID: "7d9f-1", ID: "2026-11-26t07-00-00.000-00000001"}

func golden(t *testing.T) []access.Event { return recordingtest.Golden(t, "../testdata/session.twr") }

// read returns the events as JSON lines, and the error that ended them.
func read(r *stream.Recording) (lines []string, err error) {
	for rec, e := range r.Events() {
		if e != nil {
			return lines, e
		}
		b, _ := json.Marshal(rec.Event)
		lines = append(lines, string(b))
	}
	return lines, nil
}

func open(t *testing.T, file string, o stream.Options) *stream.Recording {
	t.Helper()
	r, err := stream.Open(t.Context(), file, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

func write(t *testing.T, b []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "session.twr")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestAllFormsOfARecordingHaveTheSameEvents(t *testing.T) {
	events := golden(t)
	first := open(t, "../testdata/session.twr", stream.Options{})
	want, err := read(first)
	if err != nil || len(want) != len(events) {
		t.Fatalf("%d events, %v", len(want), err)
	}
	segments := recordingtest.Segments(t, name.ID, events, 5)
	bucket, locked := recordingtest.NewStore(t), recordingtest.NewStore(t)
	if locked.Key, err = age.GenerateX25519Identity(); err != nil {
		t.Fatal(err)
	}
	bucket.Add(t, name, events, 5)
	locked.Add(t, name, events, 5)
	session := func(s *recordingtest.Store) *stream.Recording {
		r, err := stream.Session(t.Context(), s, name, stream.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	for form, r := range map[string]*stream.Recording{
		"one file of segments": open(t, write(t, recordingtest.Joined(segments)), stream.Options{}),
		"a folder of segments": open(t, filepath.Join(bucket.Dir, name.Folder()), stream.Options{}),
		"an encrypted folder":  open(t, filepath.Join(locked.Dir, name.Folder()), stream.Options{Identity: locked.Key}),
		"a store":              session(bucket),
		"an encrypted store":   session(locked),
	} {
		got, err := read(r)
		report := r.Report()
		if err != nil || strings.Join(got, "\n") != strings.Join(want, "\n") || report.State != recording.Complete || report.Events != int64(len(want)) {
			t.Errorf("%s: %d events of %d, %v, %+v", form, len(got), len(want), err, report)
		}
		if report.Head != segments[len(segments)-1].Head.Chain || !report.First.Equal(events[0].Time) {
			t.Errorf("%s: the report is %+v", form, report)
		}
	}
}

func TestWhatIsDoneToSegmentsIsFoundWhereItWasDone(t *testing.T) {
	events := golden(t)
	whole := recordingtest.Segments(t, name.ID, events, 5)
	other := recordingtest.Segments(t, "other", events, 5)
	again := recordingtest.Segments(t, name.ID, events, 5)
	bent := append(recordingtest.Joined(whole[:2])[:0:0], recordingtest.Joined(whole)...)
	bent[len(bent)-1] ^= 1
	unsigned := *whole[1]
	unsigned.Signed.Signature = whole[0].Signed.Signature
	for what, c := range map[string]struct {
		raw   []byte
		state recording.State
		says  string
		after int // events before it shows
	}{
		"one is missing":           {recordingtest.Joined(append(whole[:1:1], whole[2:]...)), recording.Broken, "segment 3 stands where 2 should", 5},
		"the first is missing":     {recordingtest.Joined(whole[1:]), recording.Broken, "segment 2 stands where the first should", 0},
		"one of another session":   {recordingtest.Joined(append(whole[:1:1], other[1:]...)), recording.Broken, "another session", 5},
		"more follows the end":     {recordingtest.Joined(append(whole[:len(whole):len(whole)], again[0])), recording.Broken, "something follows", len(events)},
		"a body was changed":       {bent, recording.Broken, "not the one that its head was signed for", 5 * (len(whole) - 1)},
		"a signature is another's": {recordingtest.Joined(append(whole[:1:1], &unsigned)), recording.Broken, "the signature is not of the key", 5},
		"the end is missing":       {recordingtest.Joined(whole[:2]), recording.Unfinished, "", 10},
		"one is cut off":           {recordingtest.Joined(whole[:2])[:len(recordingtest.Joined(whole[:2]))-7], recording.Unfinished, "", 5},
	} {
		r := open(t, write(t, c.raw), stream.Options{})
		got, err := read(r)
		if len(got) != c.after || r.Report().State != c.state || c.says == "" != (err == nil) || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %d events, %v, %+v", what, len(got), err, r.Report())
		}
	}
}

func TestWithoutItsKeyASessionCannotBeRead(t *testing.T) {
	s := recordingtest.NewStore(t)
	s.Key, _ = age.GenerateX25519Identity()
	s.Add(t, name, golden(t), 5)
	if got, err := read(open(t, filepath.Join(s.Dir, name.Folder()), stream.Options{})); len(got) > 0 || !errors.Is(err, stream.ErrNoKey) {
		t.Errorf("%d events, %v", len(got), err)
	}
	s.Erased = []string{name.ID}
	r, err := stream.Session(t.Context(), s, name, stream.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := read(r); len(got) > 0 || !errors.Is(err, store.ErrErased) {
		t.Errorf("%d events, %v", len(got), err)
	}
	if _, err := stream.Session(t.Context(), s, store.Session{Namespace: "../x", UID: "1", ID: "2"}, stream.Options{}); err == nil {
		t.Error("a name that climbs out of the folder is taken")
	}
}

func TestAFollowedRecordingWaitsForWhatIsStillWritten(t *testing.T) {
	events := golden(t)
	file, joined := recordingtest.File(t, events), recordingtest.Joined(recordingtest.Segments(t, name.ID, events, 5))
	for form, raw := range map[string][]byte{"version 1": file, "segments": joined} {
		f, err := os.Create(filepath.Join(t.TempDir(), "growing.twr"))
		if err != nil {
			t.Fatal(err)
		}
		r := open(t, f.Name(), stream.Options{Follow: true, Every: time.Millisecond})
		go func() {
			defer f.Close()
			for part := range slices.Chunk(raw, 100) {
				_, _ = f.Write(part)
			}
		}()
		got, err := read(r)
		if err != nil || len(got) != len(events) || r.Report().State != recording.Complete {
			t.Errorf("%s: %d events of %d, %v, %v", form, len(got), len(events), err, r.Report())
		}
	}
}

func TestAFollowedStoreWaitsForItsNextSegment(t *testing.T) {
	events := golden(t)
	segments, s := recordingtest.Segments(t, name.ID, events, 5), recordingtest.NewStore(t)
	r, err := stream.Session(t.Context(), s, name, stream.Options{Follow: true, Every: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	seen, added := 0, 0
	s.Put(t, name.Segment(1), segments[0].Append(nil))
	for _, err := range r.Events() {
		if err != nil {
			t.Fatal(err)
		}
		if seen++; seen%5 == 0 && added+1 < len(segments) { // the next is there only once this one was read
			added++
			s.Put(t, name.Segment(uint64(added+1)), segments[added].Append(nil))
		}
	}
	if seen != len(events) || r.Report().State != recording.Complete {
		t.Errorf("%d events of %d: %v", seen, len(events), r.Report())
	}
}

func TestAnEndedContextEndsFollowing(t *testing.T) {
	events := golden(t)
	raw := recordingtest.File(t, events)
	ctx, cancel := context.WithCancel(t.Context())
	r, err := stream.Open(ctx, write(t, raw[:len(raw)-900]), stream.Options{Follow: true, Every: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	time.AfterFunc(20*time.Millisecond, cancel)
	if got, err := read(r); err != nil || len(got) == 0 || r.Report().State != recording.Unfinished {
		t.Errorf("%d events, %v, %v", len(got), err, r.Report())
	}
}
