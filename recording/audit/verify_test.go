package audit

import (
	"crypto/ed25519"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/recording"
)

func TestATrueStoreHasNothingButNotes(t *testing.T) {
	rounds := 40
	if testing.Short() {
		rounds = 5
	}
	var total Summary
	for seed := range rounds {
		w := build(rand.New(rand.NewPCG(uint64(seed), 1)), hook{})
		sum, found, log := w.verify(t, Scope{}, View{Name: "another store", Note: w.checkpoint(len(w.raw)/2, w.signer)})
		for _, f := range found {
			if f.Severity != Note || f.Code != Recovered && f.Code != LateSealed && f.Code != Unshipped {
				t.Errorf("seed %d: %+v (leaf %v)", seed, f, index64(f.LogIndex))
			}
		}
		if log == nil {
			t.Errorf("seed %d: the log is not called good", seed)
		}
		total.Sessions, total.Segments, total.Records, total.Leaves = total.Sessions+sum.Sessions, total.Segments+sum.Segments, total.Records+sum.Records, total.Leaves+sum.Leaves
		total.Erased, total.Removed, total.Recovered, total.Running = total.Erased+sum.Erased, total.Removed+sum.Removed, total.Recovered+sum.Recovered, total.Running+sum.Running
	}
	t.Logf("%d stores: %+v", rounds, total)
	if total.Erased == 0 || total.Removed == 0 || total.Recovered == 0 || total.Running == 0 {
		t.Error("the stores had not all that a store may have")
	}
}

// Where recordings are switched on, sidecars have sealed already: by keys of which the operator had said nothing.
func TestWhatWasSealedBeforeTheOperatorKeptRecordingsIsNoted(t *testing.T) {
	for seed := range 10 {
		w := build(rand.New(rand.NewPCG(uint64(seed), 2)), hook{late: 6 * time.Minute}, "alive", "stopped")
		_, found, _ := w.verify(t, Scope{})
		for _, f := range found {
			if f.Severity != Note {
				t.Errorf("seed %d: %+v (leaf %v)", seed, f, index64(f.LogIndex))
			}
		}
		if !slices.ContainsFunc(found, func(f Finding) bool { return f.Code == AttestedLater }) {
			t.Errorf("seed %d: it is not noted: %s", seed, brief(found))
		}
	}
}

func TestWhatIsSealedWithoutTheOperatorsWordOnceThereIsOneIsFound(t *testing.T) {
	w := build(rand.New(rand.NewPCG(1, 3)), hook{unattested: true}, "alive")
	_, found, _ := w.verify(t, Scope{})
	if !slices.ContainsFunc(found, func(f Finding) bool { return f.Code == KeyNotAttested && f.Severity == Tampered }) {
		t.Error(brief(found))
	}
}

func TestAnOutageOfTheLogIsNotCalledTampering(t *testing.T) {
	for seed := range 6 {
		w := build(rand.New(rand.NewPCG(uint64(seed), 4)), hook{late: Grace + 2*time.Minute, outage: true}, "alive", "alive")
		_, found, _ := w.verify(t, Scope{})
		for _, f := range found {
			if f.Severity == Tampered {
				t.Errorf("seed %d: %+v (leaf %v)", seed, f, index64(f.LogIndex))
			}
		}
		if !slices.ContainsFunc(found, func(f Finding) bool { return f.Code == LogTime && f.Severity == Incomplete }) {
			t.Errorf("seed %d: it is not said: %s", seed, brief(found))
		}
	}
}

// Sessions are shipped side by side, so that of a key's segments a later one may be there before an earlier one, also when the process
// that sealed them is gone.
func TestWhatWaitsInASpoolIsNotCalledTampering(t *testing.T) {
	for kind, want := range map[string]struct {
		code  Code
		level Severity
	}{"restarting": {Unshipped, Note}, "restarted and killed": {Lost, Incomplete}} {
		holes := 0
		for seed := range 60 {
			w := build(rand.New(rand.NewPCG(uint64(seed), 5)), hook{}, kind, "alive")
			_, found, _ := w.verify(t, Scope{})
			for _, f := range found {
				if f.Severity == Tampered || f.Severity == Incomplete && want.level == Note {
					t.Errorf("%s, seed %d: %+v (leaf %v)", kind, seed, f, index64(f.LogIndex))
				}
				dead := recording.IDOf(w.pods[0].old[0].priv.Public().(ed25519.PublicKey))
				if f.Code == want.code && strings.Contains(f.What, "of key "+short(dead)) && strings.HasSuffix(f.What, "of the key, is there") {
					holes++
				}
			}
		}
		if holes == 0 {
			t.Errorf("%s: no key had a hole", kind)
		}
	}
}

func index64(i *int64) int64 {
	if i == nil {
		return -1
	}
	return *i
}
