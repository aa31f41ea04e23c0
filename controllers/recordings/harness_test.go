package recordings

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"gocloud.dev/secrets/localsecrets"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/recording"
	"github.com/tidewaiter/tidewaiter/recording/index"
	"github.com/tidewaiter/tidewaiter/recording/ledger"
	"github.com/tidewaiter/tidewaiter/recording/store"
)

const (
	orders   = "data/orders"
	instance = "0123456789abcdef"
)

var pod = Pod{Namespace: "shop", Name: "report-7d9f", UID: "6d1c0a52-0000-4000-8000-000000000001", ServiceAccount: "report", Node: "node-1"}

// world is an operator's store, which tests start again as another process would.
type world struct {
	bucket    *store.Bucket
	wrapper   store.Wrapper
	key       ed25519.PrivateKey
	retention Retention
	log       Log
	limits    Limits
	ended     func(context.Context, ledger.Pod) (string, error)
	mu        sync.Mutex
	now       time.Time
}

func newWorld(t testing.TB, where string) *world {
	t.Helper()
	bucket, err := store.Create(t.Context(), where)
	must(t, err)
	t.Cleanup(func() { _ = bucket.Close() })
	secret, err := localsecrets.NewRandomKey()
	must(t, err)
	_, key, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	return &world{
		bucket: bucket, wrapper: localsecrets.NewKeeper(secret), key: key, retention: keep(time.Hour), log: inbox{bucket},
		now: time.Now().UTC().Truncate(time.Second),
	}
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// start returns the store of a process that has just begun.
func (w *world) start(t testing.TB) *Store {
	t.Helper()
	s, err := New(t.Context(), Options{
		Bucket: w.bucket, Wrapper: w.wrapper, Key: w.key, Log: w.log, Retention: w.retention, Limits: w.limits, Now: w.clock, Ended: w.ended,
	})
	must(t, err)
	return s
}

func (w *world) leaves(t testing.TB, kind ledger.Kind) (all []ledger.Leaf) {
	t.Helper()
	for o, err := range w.bucket.List(context.Background(), pending) {
		must(t, err)
		raw, err := w.bucket.Get(context.Background(), o.Name, ledger.MaxLeaf)
		must(t, err)
		var leaf ledger.Leaf
		must(t, json.Unmarshal(raw, &leaf))
		if leaf.Kind == kind {
			all = append(all, leaf)
		}
	}
	return all
}

func (w *world) entry(t testing.TB, session store.Session, began time.Time) index.Entry {
	t.Helper()
	raw, err := w.bucket.Get(t.Context(), session.Entry(began), maxEntry)
	must(t, err)
	var e index.Entry
	must(t, json.Unmarshal(raw, &e))
	return e
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// sidecar is one process of a sidecar.
type sidecar struct {
	t      testing.TB
	pod    Pod
	key    ed25519.PrivateKey
	sealer *recording.Sealer
	stream *Stream
}

func newSidecar(t testing.TB, p Pod) *sidecar {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	sealer, err := recording.NewSealer(key)
	must(t, err)
	return &sidecar{t: t, pod: p, key: key, sealer: sealer}
}

func (c *sidecar) join(s *Store) *sidecar {
	c.t.Helper()
	var err error
	c.stream, err = s.Join(c.pod, c.key.Public().(ed25519.PublicKey), instance, recording.Prove(c.key, instance))
	must(c.t, err)
	return c
}

// session is a recording that grows.
type session struct {
	c    *sidecar
	id   string
	enc  recording.Encoder
	n    uint64
	at   time.Time
	head func(*recording.Head)
	// began is the time of the first record.
	began time.Time
}

func (c *sidecar) session(id string, at time.Time) *session {
	enc, _ := recording.Begin(nil)
	return &session{c: c, id: id, enc: enc, at: at, began: at}
}

func (r *session) name() store.Session {
	return store.Session{Namespace: r.c.pod.Namespace, UID: r.c.pod.UID, ID: r.id}
}

// seal makes the next segment, of some statements.
func (r *session) seal(end recording.End, events ...access.Event) *recording.Segment {
	r.c.t.Helper()
	var records []byte
	if r.n == 0 {
		events = append([]access.Event{{Kind: access.EventOpened, Opened: &access.Opened{
			Session: r.id, DataSource: orders, Hello: access.Hello{User: "ada", Database: "shop"},
		}}}, events...)
	}
	if len(events) == 0 {
		events = []access.Event{{Kind: access.EventDecided, Statement: int64(r.n), Decided: &access.Decided{
			Text: fmt.Sprintf("select secret%d", r.n), Resources: []string{"Read public.customers"}, Effect: "Allow",
		}}}
	}
	for _, e := range events {
		e.Time = r.at
		r.at = r.at.Add(time.Millisecond)
		var err error
		records, err = r.enc.Event(records, &e)
		must(r.c.t, err)
	}
	if end == recording.EndComplete {
		records = r.enc.End(records, r.at)
	}
	r.n++
	h := recording.Head{Session: r.id, DataSource: orders, Segment: r.n, Sealed: r.at, End: end}
	if r.c.stream != nil {
		h.Attestation = r.c.stream.Attestation()
	}
	if r.head != nil {
		r.head(&h)
	}
	seg, err := r.c.sealer.Seal(h, records)
	must(r.c.t, err)
	return seg
}

// cutOff ends a session whose last segment is given, as the process after the one that died does where nothing more was left.
func (c *sidecar) cutOff(last *recording.Head) *recording.Segment {
	c.t.Helper()
	seg, err := c.sealer.Seal(recording.Head{
		Session: last.Session, DataSource: last.DataSource, Segment: last.Segment + 1, First: last.Last + 1, Previous: last.Chain,
		From: last.To, Sealed: last.To, End: recording.EndCutOff, Recovered: true, Attestation: c.stream.Attestation(),
	}, nil)
	must(c.t, err)
	return seg
}

// ship sends a segment in chunks, as the session's.
func (c *sidecar) ship(seg *recording.Segment) (Ack, error) {
	return c.send(seg.Head.Session, seg.Head.Segment, seg.Append(nil))
}

func (c *sidecar) send(id string, n uint64, data []byte) (Ack, error) {
	sum := sha256.Sum256(data)
	for at := 0; ; {
		size := min(MaxChunk, len(data)-at)
		last := at+size == len(data)
		chunk := Chunk{ID: id, DataSource: orders, Segment: n, Offset: uint64(at), Data: data[at : at+size], Complete: last}
		if last {
			chunk.SHA256 = sum[:]
		}
		ack, err := c.stream.Append(context.Background(), chunk)
		if err != nil || last || ack.Rejected != "" {
			return ack, err
		}
		at = int(ack.Size)
	}
}

// kept ships a segment that has to be taken.
func (c *sidecar) kept(seg *recording.Segment) {
	c.t.Helper()
	ack, err := c.ship(seg)
	if err != nil || !ack.Complete || ack.Size != uint64(len(seg.Append(nil))) {
		c.t.Fatalf("segment %d: %+v, %v", seg.Head.Segment, ack, err)
	}
}

// read reads the sessions' statements back, and verifies heads, chain and records on the way.
func (w *world) read(t testing.TB, s store.Session, keys ...ed25519.PublicKey) (texts []string, err error) {
	t.Helper()
	id, err := w.bucket.Identity(context.Background(), s)
	if err != nil && !errors.Is(err, store.ErrErased) {
		return nil, err
	}
	chain := begin()
	for o, listed := range w.bucket.List(context.Background(), s.Folder()) {
		must(t, listed)
		raw, got := w.bucket.Get(context.Background(), o.Name, maxFile)
		must(t, got)
		seg, got := recording.ReadSegment(strings.NewReader(string(raw)))
		must(t, got)
		signed := false
		for _, k := range keys {
			signed = signed || seg.VerifyHead(k) == nil
		}
		if !signed || seg.Kind != recording.BodyEncrypted || seg.Head.Previous != chain {
			t.Errorf("%s: signed %t, kind %q, follows %t", o.Name, signed, seg.Kind, seg.Head.Previous == chain)
		}
		chain = seg.Head.Chain
		if err != nil {
			continue
		}
		records, got := seg.Records(id)
		if got != nil {
			return texts, got
		}
		for rec, got := range seg.Head.Events(records) {
			must(t, got)
			if d := rec.Event.Decided; d != nil {
				texts = append(texts, d.Text)
			}
		}
	}
	return texts, err
}

func (c *sidecar) public() ed25519.PublicKey { return c.key.Public().(ed25519.PublicKey) }

// flaky is a log, or a wrapper of sessions' keys, that fails when it is told to.
type flaky struct {
	Log
	mu    sync.Mutex
	fails int
	calls int
}

func (f *flaky) Append(ctx context.Context, l *ledger.Leaf) error {
	f.mu.Lock()
	f.calls++
	fail := f.fails > 0
	if fail {
		f.fails--
	}
	f.mu.Unlock()
	if fail {
		return errors.New("the log cannot be reached")
	}
	return f.Log.Append(ctx, l)
}

func (f *flaky) fail(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fails = n
}

// keep is a Retention that is the same for all data sources.
type keep time.Duration

func (k keep) Of(context.Context, string) (time.Duration, error) { return time.Duration(k), nil }
func (k keep) Shortest(context.Context) (time.Duration, error)   { return time.Duration(k), nil }

// pending is where an inbox has its leaves.
const pending = store.Log + "pending/"

// inbox is a Log that leaves each leaf as an object, once, in the bucket: it fails where that does.
type inbox struct{ bucket *store.Bucket }

func (in inbox) Append(ctx context.Context, leaf *ledger.Leaf) error {
	raw, err := json.Marshal(leaf)
	if err != nil {
		return err
	}
	err = in.bucket.Put(ctx, pending+leaf.ID+".json", raw, store.PutOptions{Once: true})
	if errors.Is(err, store.ErrExists) { // the earlier one stays, with its time
		return nil
	}
	return err
}
