// Package recordingtest makes recordings for tests: files of version 1, segments as a sidecar seals them, and a store in a folder.
//
// It must not be imported by what is shipped.
package recordingtest

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/recording"
	"github.com/tidewaiter/tidewaiter/recording/index"
	"github.com/tidewaiter/tidewaiter/recording/store"
)

// File is the recording of events in version 1, with its end mark.
func File(t testing.TB, events []access.Event) []byte {
	t.Helper()
	enc, b := recording.Begin(nil)
	for i := range events {
		var err error
		if b, err = enc.Event(b, &events[i]); err != nil {
			t.Fatal(err)
		}
	}
	return enc.End(b, events[len(events)-1].Time)
}

// Segments are the events sealed, each of them at most so many events, the last with the end mark. Heads are attested by a key of
// the test's.
func Segments(t testing.TB, session string, events []access.Event, each int) []*recording.Segment {
	t.Helper()
	_, operator, err := ed25519.GenerateKey(nil)
	fatal(t, err)
	public, key, err := ed25519.GenerateKey(nil)
	fatal(t, err)
	attested, err := recording.Attest(operator, &recording.Attestation{Namespace: "shop", Pod: "report-7d9f", UID: "7d9f-1", Key: public, Time: events[0].Time})
	fatal(t, err)
	sealer, err := recording.NewSealer(key)
	fatal(t, err)
	enc, _ := recording.Begin(nil)
	var out []*recording.Segment
	var b []byte
	for i := range events {
		b, err = enc.Event(b, &events[i])
		fatal(t, err)
		last := i == len(events)-1
		if (i+1)%each != 0 && !last {
			continue
		}
		head := recording.Head{Session: session, DataSource: "data/orders", Segment: uint64(len(out) + 1), Sealed: events[i].Time.Add(time.Second), Attestation: &attested}
		if last {
			b, head.End = enc.End(b, events[i].Time), recording.EndComplete
		}
		s, err := sealer.Seal(head, b)
		fatal(t, err)
		out, b = append(out, s), nil
	}
	return out
}

// Joined is the file of segments, one after the other.
func Joined(segments []*recording.Segment) (b []byte) {
	for _, s := range segments {
		b = s.Append(b)
	}
	return b
}

// Store is a store in a folder. It is safe for concurrent use.
type Store struct {
	Dir string
	// Key decrypts all sessions; nil where they are not encrypted. Erased sessions have none.
	Key    *age.X25519Identity
	Erased []string
}

// NewStore returns an empty store in a folder of the test's.
func NewStore(t testing.TB) *Store {
	t.Helper()
	return &Store{Dir: t.TempDir()}
}

// Put writes an object.
func (s *Store) Put(t testing.TB, name string, b []byte) {
	t.Helper()
	file := filepath.Join(s.Dir, filepath.FromSlash(name))
	fatal(t, os.MkdirAll(filepath.Dir(file), 0o750))
	fatal(t, os.WriteFile(file, b, 0o600))
}

// Add writes a session, encrypted where the store has a key, and its entry in the index.
func (s *Store) Add(t testing.TB, name store.Session, events []access.Event, each int) {
	t.Helper()
	entry := index.Entry{Session: name.ID, Namespace: name.Namespace, UID: name.UID}
	for i := range events {
		if o := events[i].Opened; o != nil {
			entry.DataSource, entry.Pod, entry.ServiceAccount = o.DataSource, o.Identity.Pod, o.Identity.ServiceAccount
			entry.User, entry.Database, entry.Application = o.Hello.User, o.Hello.Database, o.Hello.Application
		}
		entry.Add(&events[i])
	}
	all := Segments(t, name.ID, events, each)
	for _, segment := range all {
		if s.Key != nil {
			var err error
			segment, err = recording.Encrypt(segment, s.Key.Recipient())
			fatal(t, err)
		}
		s.Put(t, name.Segment(segment.Head.Segment), segment.Append(nil))
	}
	entry.End, entry.Segments, entry.Chain = string(recording.EndComplete), uint64(len(all)), all[len(all)-1].Head.Chain
	b, err := json.Marshal(entry)
	fatal(t, err)
	s.Put(t, name.Entry(entry.Began), b)
}

// Open implements store.Source.
func (s *Store) Open(_ context.Context, name string) (io.ReadCloser, error) {
	f, err := os.Open(filepath.Join(s.Dir, filepath.FromSlash(name)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, store.ErrNotFound
	}
	return f, err
}

// List implements store.Source.
func (s *Store) List(_ context.Context, prefix string) iter.Seq2[store.Object, error] {
	return func(yield func(store.Object, error) bool) {
		var all []store.Object
		err := filepath.WalkDir(s.Dir, func(file string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			name, err := filepath.Rel(s.Dir, file)
			if name = filepath.ToSlash(name); err == nil && strings.HasPrefix(name, prefix) {
				all = append(all, store.Object{Name: name})
			}
			return err
		})
		if err != nil {
			yield(store.Object{}, err)
			return
		}
		slices.SortFunc(all, func(a, b store.Object) int { return strings.Compare(a.Name, b.Name) })
		for _, o := range all {
			if !yield(o, nil) {
				return
			}
		}
	}
}

// Identity implements store.Source.
func (s *Store) Identity(_ context.Context, name store.Session) (age.Identity, error) {
	switch {
	case slices.Contains(s.Erased, name.ID):
		return nil, store.ErrErased
	case s.Key == nil:
		return nil, nil
	}
	return s.Key, nil
}

// Golden are the events of the format's golden recording: everything happens in it once.
func Golden(t testing.TB, file string) []access.Event {
	t.Helper()
	raw, err := os.ReadFile(file)
	fatal(t, err)
	r := recording.NewReader(bytes.NewReader(raw))
	var out []access.Event
	for {
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		fatal(t, err)
		out = append(out, rec.Event)
	}
}

func fatal(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
