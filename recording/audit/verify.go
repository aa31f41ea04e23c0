package audit

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/tidewaiter/tidewaiter/recording"
	"github.com/tidewaiter/tidewaiter/recording/store"
)

// Bounds of honest deviations.
const (
	// Skew is how far a sidecar's clock may be from the operator's.
	Skew = 2 * time.Minute
	// Grace is how long something may be on its way: an object before its leaf is in the log, a segment before it is shipped.
	Grace = 10 * time.Minute
	// MinRetention is the shortest time after its end that a session is kept for.
	MinRetention = time.Hour
)

// MaxLive is how many sessions may be without an end at one point of the log.
const MaxLive = 1 << 20

// Scope says what findings are wanted about. The log itself is always checked as a whole.
type Scope struct {
	// Sessions by ID; none means all.
	Sessions []string
	// Since and Until bound the time; zero means no bound.
	Since, Until time.Time
}

// Options say what is verified, and against what.
type Options struct {
	// Source is the store.
	Source store.Source
	// Operator is the key that attests sidecars' keys, and LogKey the log's verifier key (C2SP, "origin+hash+base64").
	Operator ed25519.PublicKey
	LogKey   string
	// Views are checkpoints from elsewhere.
	Views []View
	Scope Scope
	// Now is the time of the auditor; zero for the clock's.
	Now time.Time
	// Wait is how long a log that is behind another view is waited for: it is put into the ConfigMap before it is published.
	Wait time.Duration
	// Workers is how many objects are read at once; 0 for a number that fits the machine.
	Workers int
	// Report is called for each finding, never twice at once. Progress, where it is set, is called now and then with how many of how
	// many leaves have been read, and how many segments.
	Report   func(Finding)
	Progress func(leaves, of, segments int64)
}

// verifier is one run. Its methods but those of segments' contents are called by one goroutine, in the order of the log.
type verifier struct {
	Options
	sink
	attested attestations
	pods     map[string]*pod
	keys     map[recording.KeyID]*key
	live     map[fingerprint]*session
	settled  map[fingerprint]settled
	ended    map[fingerprint]ended
	erased   []where // with the names of their sessions
	names    map[string]store.Session
	ids      ids
	heads    fileLogged
	partial  bool      // the log could not be read to its end, so that nothing is said of what it has not
	last     time.Time // of the last leaf
	found    map[string]bool
	podsIn   map[string]bool // pods that have a session in scope
	deferred []Finding

	jobs    chan func()
	workers sync.WaitGroup

	missMu  sync.Mutex
	missing map[fingerprint]absent // what workers did not find
	noIndex map[fingerprint]absent
	failure error
}

// settled is a session that is over.
type settled struct {
	last uint32
	at   int64 // when its end was logged, in seconds
}

type ended struct{ erased bool }

// absent is the first that is missing of a session.
type absent struct {
	code  Code
	w     where
	count int
}

// Verify checks a store and its log. The error says that something could not be read: then nothing is certain, whatever was reported.
// Checkpoint is the log's, for whoever remembers it; it is nil unless every check of the log itself was good.
func Verify(ctx context.Context, o Options) (Summary, []byte, error) {
	return verifyLog(ctx, o, nil)
}

// verifyLog is Verify; heads are segments that the log should have, and are taken out as they are found.
func verifyLog(ctx context.Context, o Options, heads fileLogged) (Summary, []byte, error) {
	if o.Source == nil || len(o.Operator) != ed25519.PublicKeySize {
		return Summary{}, nil, errors.New("a store and the operator's public key are needed")
	}
	v := newVerifier(o)
	v.heads = heads
	v.start()
	log, err := v.walk(ctx)
	if err == nil && !v.partial {
		v.finishKeys()
		v.finishSessions(ctx)
	}
	v.stop()
	if err == nil {
		err = v.failure
	}
	if err == nil && !v.partial {
		err = v.finish(ctx)
	}
	return v.summary, log, err
}

func newVerifier(o Options) *verifier {
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	if o.Workers <= 0 {
		o.Workers = min(2*runtime.GOMAXPROCS(0), 16)
	}
	v := &verifier{
		Options: o, attested: attestations{operator: o.Operator}, pods: map[string]*pod{}, keys: map[recording.KeyID]*key{},
		live: map[fingerprint]*session{}, settled: map[fingerprint]settled{}, ended: map[fingerprint]ended{}, found: map[string]bool{},
		podsIn: map[string]bool{}, missing: map[fingerprint]absent{}, noIndex: map[fingerprint]absent{}, names: map[string]store.Session{},
	}
	v.report = o.Report
	return v
}

// start starts workers; what is queued for them is bounded.
func (v *verifier) start() {
	v.jobs = make(chan func(), 4*v.Workers)
	for range v.Workers {
		v.workers.Go(func() {
			for job := range v.jobs {
				job()
			}
		})
	}
}

func (v *verifier) stop() {
	close(v.jobs)
	v.workers.Wait()
}

// fail keeps the first error of a worker.
func (v *verifier) fail(err error) {
	v.missMu.Lock()
	defer v.missMu.Unlock()
	if v.failure == nil && err != nil {
		v.failure = err
	}
}

// add reports a finding that is in scope.
func (v *verifier) add(f Finding) {
	s := v.Scope
	log := f.Session == "" && f.Pod == ""
	switch {
	case log:
	case !f.at.IsZero() && (f.at.Before(s.Since) || !s.Until.IsZero() && f.at.After(s.Until)):
		return
	case len(s.Sessions) == 0:
	case f.Session != "" && !slices.Contains(s.Sessions, f.Session):
		return
	case f.Session == "":
		v.mu.Lock()
		defer v.mu.Unlock()
		if len(v.deferred) < MaxFindings { // whose pod it is shows only later
			v.deferred = append(v.deferred, f)
		}
		return
	}
	v.sink.add(f)
}

// wanted says whether a segment is to be looked into.
func (v *verifier) wanted(h *recording.Head) bool {
	s := v.Scope
	return (len(s.Sessions) == 0 || slices.Contains(s.Sessions, h.Session)) && !h.Sealed.Before(s.Since) && (s.Until.IsZero() || !h.From.After(s.Until))
}

// finish reports what could only be said when everything had been read.
func (v *verifier) finish(ctx context.Context) error {
	for fp, a := range v.missing {
		_, gone := v.ended[fp]
		if e := v.ended[fp]; gone && (a.code == KeyMissing || !e.erased) {
			continue
		}
		f := a.w.finding(a.code, "the object is not in the store")
		if a.code == KeyMissing {
			f.What = "the key of the session is gone, and the log has no leaf that it was erased"
		}
		if a.count > 1 {
			f.What += fmt.Sprintf(" (so it is for %d segments of the session)", a.count)
		}
		v.add(f)
	}
	for fp, a := range v.noIndex {
		if _, gone := v.ended[fp]; !gone {
			v.add(a.w.finding(IndexWrong, "the index has no entry for the session"))
		}
	}
	if err := v.erasures(ctx); err != nil {
		return err
	}
	if err := v.strangers(ctx); err != nil {
		return err
	}
	v.notLogged()
	for _, id := range v.Scope.Sessions {
		if !v.found[id] {
			v.sink.add(Finding{Code: NothingMatched, Session: id, What: "the log has no segment of this session" + v.between()})
		}
	}
	for _, f := range v.deferred {
		if v.podsIn[f.Pod] {
			v.sink.add(f)
		}
	}
	return nil
}

func (v *verifier) between() string {
	if v.Scope.Since.IsZero() && v.Scope.Until.IsZero() {
		return ""
	}
	return " in the time asked for"
}
