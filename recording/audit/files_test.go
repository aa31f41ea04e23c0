package audit

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/tidewaiter/tidewaiter/recording"
)

// fileOf is a session that has ended, of several segments, as one file of what its sidecar sealed.
func fileOf(t *testing.T) (*world, []byte, []int) {
	t.Helper()
	for seed := range uint64(50) {
		w := build(rand.New(rand.NewPCG(seed, 9)), hook{}, "alive")
		for _, s := range w.sessions(func(s *gsession) bool { return s.ended && len(s.leaves) > 2 && s.id == nil }) {
			var file []byte
			var ends []int
			for _, l := range s.leaves {
				file = append(file, w.objects[l.Sealed.Object].data...)
				ends = append(ends, len(file))
			}
			return w, file, ends
		}
	}
	t.Fatal("no such session in any world")
	return nil, nil, nil
}

func (w *world) file(t testing.TB, b []byte, log bool) (Summary, []Finding) {
	t.Helper()
	var found []Finding
	o := Options{Operator: w.operator.Public().(ed25519.PublicKey), Now: w.now, Report: func(f Finding) { found = append(found, f) }}
	if log {
		o.Source, o.LogKey = w, w.logKey
	}
	sum, _, err := VerifyFiles(context.Background(), o, []File{{Name: "x.twr", Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }}})
	if err != nil {
		t.Fatal(err)
	}
	return sum, found
}

func TestAFileIsVerifiedByItselfAndAgainstTheLog(t *testing.T) {
	w, file, ends := fileOf(t)
	for _, log := range []bool{false, true} {
		if sum, found := w.file(t, file, log); len(found) > 0 || sum.Sessions != 1 || sum.Segments != int64(len(ends)) || (sum.Leaves > 0) != log {
			t.Errorf("log %v: %+v, %s", log, sum, brief(found))
		}
	}
}

func TestEveryByteOfAFileCounts(t *testing.T) {
	w, file, _ := fileOf(t)
	r := rand.New(rand.NewPCG(1, 2))
	for range 400 {
		b := bytes.Clone(file)
		at := r.IntN(len(b))
		b[at] ^= byte(1 + r.IntN(255))
		if sum, found := w.file(t, b, false); sum.Tampered+sum.Incomplete == 0 {
			t.Errorf("byte %d was changed, and there is only %s", at, brief(found))
		}
	}
}

func TestAFileWithoutSomeOfItsSegmentsIsNotWhole(t *testing.T) {
	w, file, ends := fileOf(t)
	for name, c := range map[string]struct {
		file []byte
		want Code
	}{
		"its end is cut off":        {file[:ends[len(ends)-2]], Unfinished},
		"it is cut within":          {file[:ends[0]+40], Torn},
		"its first is cut off":      {file[ends[0]:], SegmentMissing},
		"one of its midst is taken": {slices.Concat(file[:ends[0]], file[ends[1]:]), SegmentMissing},
		"one is doubled":            {slices.Concat(file[:ends[0]], file), SegmentReused},
		"something follows":         {slices.Concat(file, []byte("more, that is no segment at all: it is not")), SegmentBroken},
		"it is empty":               {nil, Torn},
	} {
		sum, found := w.file(t, c.file, false)
		if sum.Tampered+sum.Incomplete == 0 || !slices.ContainsFunc(found, func(f Finding) bool { return f.Code == c.want }) {
			t.Errorf("%s: no %s in %s", name, c.want, brief(found))
		}
	}
}

func TestASegmentThatIsNotInTheLogIsFound(t *testing.T) {
	w, file, _ := fileOf(t)
	k := w.pods[0].key
	s := w.pods[0].begin(w.base)
	s.id = nil
	seg := evil(k.priv, recording.Head{Session: s.name.ID, DataSource: "data/orders", Segment: 1, Serial: 9999, Attestation: &k.att}, s.buf, func(*recording.Head) {})
	_, found := w.file(t, slices.Concat(file, seg.Append(nil)), true)
	if !slices.ContainsFunc(found, func(f Finding) bool { return f.Code == NotInLog && f.Session == s.name.ID }) {
		t.Errorf("no NotInLog in %s", brief(found))
	}
}

func TestAScopeBoundsWhatIsReadAndReported(t *testing.T) {
	w := build(rand.New(rand.NewPCG(3, 3)), hook{})
	all := w.sessions(hasEnded)
	a, b := all[0], all[len(all)-1]
	delete(w.objects, a.leaves[0].Sealed.Object)
	sum, found, _ := w.verify(t, Scope{Sessions: []string{b.name.ID}})
	if sum.Sessions != 1 || sum.Segments != int64(len(b.leaves)) || slices.ContainsFunc(found, func(f Finding) bool { return f.Session == a.name.ID }) {
		t.Errorf("%+v, %s", sum, brief(found))
	}
	if _, found, _ = w.verify(t, Scope{Sessions: []string{a.name.ID}}); !slices.ContainsFunc(found, func(f Finding) bool { return f.Code == ObjectMissing }) {
		t.Errorf("no ObjectMissing in %s", brief(found))
	}
	if _, found, _ = w.verify(t, Scope{Since: w.now.Add(-1)}); slices.ContainsFunc(found, func(f Finding) bool { return f.Severity != Note }) {
		t.Errorf("out of time, and yet %s", brief(found))
	}
}
