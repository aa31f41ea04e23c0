package audit

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/recording"
	"github.com/tidewaiter/tidewaiter/recording/index"
	"github.com/tidewaiter/tidewaiter/recording/ledger"
	"github.com/tidewaiter/tidewaiter/recording/store"
)

// world is a true installation in small: pods, sessions, a store and a log, made with what really seals and signs.
type world struct {
	r        *rand.Rand
	base     time.Time
	now      time.Time
	operator ed25519.PrivateKey
	signer   note.Signer
	logKey   string
	pods     []*gpod
	leaves   []*ledger.Leaf
	raw      [][]byte // the entries, as published
	objects  map[string]stored
	hook     hook
	cheats   bool      // somebody may: see hook
	cheated  *gsession // by a hook
}

type stored struct {
	data []byte
	time time.Time
}

// hook lets a sidecar cheat while it records.
type hook struct {
	// records may change what is sealed, and the head that Seal is given.
	records func(s *gsession, h *recording.Head, records []byte) []byte
	// clock is what a pod believes the time to be.
	clock func(p *gpod, t time.Time) time.Time
	// afterEnd is called when a session has ended.
	ended func(s *gsession, t time.Time)
	// late is how long pods run before the operator keeps recordings. unattested seals without the operator's word ever after.
	late       time.Duration
	unattested bool
	outage     bool // late is how long the log could not be written to
}

// spooled is a segment that was sealed.
type spooled struct {
	session *gsession
	ship    func(time.Time)
}

type gkey struct {
	priv   ed25519.PrivateKey
	sealer *recording.Sealer
	// serial and sum are those of a sidecar that cheats, and does without the Sealer.
	serial uint64
	sum    recording.Hash
	att    recording.Signed
	beats  uint64
	pod    *gpod
	since  time.Time
	later  time.Time // when the operator attested it, where that was not at once
}

type gpod struct {
	w        *world
	pod      ledger.Pod
	kind     string // alive, stopped, restarted, killed
	key      *gkey
	old      []*gkey
	every    time.Duration
	encrypt  bool
	sessions []*gsession
	spool    []spooled // not yet shipped
	gone     time.Time
	// attestedAt is since when the operator keeps recordings, where that is later than the pod.
	attestedAt time.Time
}

type gsession struct {
	pod     *gpod
	name    store.Session
	enc     recording.Encoder
	buf     []byte
	entry   index.Entry // of what was recorded
	indexed index.Entry // of what was shipped
	id      *age.X25519Identity
	segment uint64
	n       int64
	ended   bool
	closed  bool // nothing is recorded any more, with or without an end mark
	leaves  []*ledger.Leaf
	records [][]byte // of its segments
	gone    bool     // erased or removed
}

func newWorld(r *rand.Rand, h hook) *world {
	seed := func() []byte {
		b := make([]byte, 32)
		binary.BigEndian.PutUint64(b, r.Uint64())
		binary.BigEndian.PutUint64(b[8:], r.Uint64())
		return b
	}
	w := &world{r: r, base: time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC), objects: map[string]stored{}, hook: h, cheats: h.records != nil || h.ended != nil}
	w.operator = ed25519.NewKeyFromSeed(seed())
	skey, vkey, err := note.GenerateKey(bytes.NewReader(seed()), "tidewaiter.dev/log/test")
	must(err)
	w.signer, err = note.NewSigner(skey)
	must(err)
	w.logKey = vkey
	return w
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// build runs a few pods, and publishes.
func build(r *rand.Rand, h hook, kinds ...string) *world {
	w := newWorld(r, h)
	if len(kinds) == 0 {
		kinds = []string{"stopped", "restarted", "alive"}
	}
	for i, kind := range kinds {
		start := w.base.Add(time.Duration(r.IntN(120)) * time.Second)
		if i == 0 && kind == "stopped" {
			start = w.base.Add(-4 * time.Hour)
		}
		w.run(kind, fmt.Sprintf("report-%d", i), start, 24*time.Minute)
	}
	w.now = w.base.Add(28 * time.Minute)
	w.erase()
	w.publish()
	return w
}

func (w *world) leafAt(at time.Time, l ledger.Leaf) *ledger.Leaf {
	l.Time = at.UTC()
	id := make([]byte, 16)
	binary.BigEndian.PutUint64(id, w.r.Uint64())
	binary.BigEndian.PutUint64(id[8:], w.r.Uint64())
	l.ID = hex.EncodeToString(id)
	w.leaves = append(w.leaves, &l)
	return &l
}

func (w *world) newKey(p *gpod, at time.Time) *gkey {
	seed := sha256.Sum256(binary.BigEndian.AppendUint64(nil, w.r.Uint64()))
	k := &gkey{priv: ed25519.NewKeyFromSeed(seed[:]), pod: p, since: at}
	var err error
	k.sealer, err = recording.NewSealer(k.priv)
	must(err)
	k.att = w.attest(k, at)
	return k
}

func (w *world) attest(k *gkey, at time.Time) recording.Signed {
	p := k.pod.pod
	att, err := recording.Attest(w.operator, &recording.Attestation{
		Namespace: p.Namespace, Pod: p.Name, UID: p.UID, ServiceAccount: "report", Node: "n1", Key: k.priv.Public().(ed25519.PublicKey), Time: at,
	})
	must(err)
	return att
}

func (p *gpod) clock(t time.Time) time.Time {
	if p.w.hook.clock != nil {
		return p.w.hook.clock(p, t)
	}
	return t
}

// run is a pod's life.
func (w *world) run(kind, name string, start time.Time, life time.Duration) *gpod {
	p := &gpod{w: w, kind: kind, every: time.Minute, encrypt: w.r.IntN(3) > 0}
	p.pod = ledger.Pod{Namespace: []string{"shop", "data"}[w.r.IntN(2)], Name: name, UID: fmt.Sprintf("%08x-%04x", w.r.Uint32(), w.r.Uint32()&0xffff)}
	w.pods = append(w.pods, p)
	p.key = w.newKey(p, start)
	if late := w.hook.late; late > 0 {
		p.attestedAt = start.Add(late)
		if !w.hook.outage {
			p.key.att, p.key.later = w.attest(p.key, p.attestedAt), p.attestedAt
		}
	}
	w.leafAt(start.Add(w.hook.late), ledger.Leaf{Kind: ledger.KindAttested, Pod: p.pod, Attestation: &p.key.att})
	end := start.Add(life)
	crash := start.Add(life/3 + time.Duration(w.r.IntN(200))*time.Second).Truncate(15 * time.Second)
	switch kind {
	case "alive":
		end = w.base.Add(28 * time.Minute)
	case "restarting": // to the end of the log
		end = w.base.Add(28 * time.Minute)
		crash = end.Add(-15 * time.Second).Truncate(15 * time.Second)
	case "restarted and killed":
		crash = end.Add(-15 * time.Second).Truncate(15 * time.Second)
	}
	for t := start.Add(15 * time.Second); t.Before(end); t = t.Add(15 * time.Second) {
		if strings.HasPrefix(kind, "restart") && !t.Before(crash) && len(p.old) == 0 {
			p.restart(t)
			continue
		}
		p.tick(t)
		if t.Sub(p.key.since)%p.every < 15*time.Second {
			p.beat(t, false)
		}
	}
	switch kind {
	case "stopped", "restarted":
		for _, s := range p.sessions {
			s.end(end)
		}
		p.ship(end, true)
		p.beat(end.Add(time.Second), true)
		p.goneAt(end.Add(5 * time.Second))
	case "killed", "restarted and killed":
		p.goneAt(end.Add(5 * time.Second))
	}
	return p
}

func (p *gpod) goneAt(t time.Time) {
	p.gone = t
	p.w.leafAt(t, ledger.Leaf{Kind: ledger.KindGone, Pod: p.pod, Gone: "the pod was deleted"})
}

// tick lets sessions begin, go on, be sealed and end.
func (p *gpod) tick(t time.Time) {
	r := p.w.r
	open := 0
	for _, s := range p.sessions {
		if !s.closed {
			open++
		}
	}
	if open < 2 && r.IntN(8) == 0 {
		p.begin(t)
	}
	for _, s := range p.sessions {
		if s.closed {
			continue
		}
		for range r.IntN(3) {
			s.statement(t)
		}
		switch {
		case r.IntN(14) == 0:
			s.end(t)
		case r.IntN(6) == 0 && len(s.buf) > 0:
			s.seal(p.key, t, recording.EndNone, false)
		}
	}
	p.ship(t, false)
}

// ship sends what was sealed, each session's in order. Sessions do not wait for each other: unless all is sent, some of it waits.
func (p *gpod) ship(t time.Time, all bool) {
	if t.Before(p.attestedAt) {
		return
	}
	waits := map[*gsession]bool{}
	p.spool = slices.DeleteFunc(p.spool, func(g spooled) bool {
		waits[g.session] = !all && (waits[g.session] || p.w.r.IntN(3) == 0)
		if !waits[g.session] {
			g.ship(t)
		}
		return !waits[g.session]
	})
}

func (p *gpod) beat(t time.Time, last bool) {
	k := p.key
	if t.Before(p.attestedAt) {
		return
	}
	k.beats++
	serial, sum := k.sealed()
	s, err := recording.Beat(k.priv, &recording.Heartbeat{
		Key: recording.IDOf(k.priv.Public().(ed25519.PublicKey)), Number: k.beats, Time: p.clock(t), Every: int(p.every.Seconds()), Sealed: serial, Sum: sum, Recording: true, Last: last,
	})
	must(err)
	p.w.leafAt(t.Add(time.Duration(p.w.r.IntN(1000))*time.Millisecond), ledger.Leaf{Kind: ledger.KindAlive, Pod: p.pod, Alive: &s})
}

// restart is a crash, and the next process that seals what was left.
func (p *gpod) restart(t time.Time) {
	for _, s := range p.sessions { // what is sealed and not shipped any more by the process that dies
		if !s.closed && len(s.buf) > 0 {
			s.seal(p.key, t.Add(-time.Second), recording.EndNone, false)
		}
	}
	for _, s := range p.sessions {
		if !s.closed {
			s.statement(t.Add(-500 * time.Millisecond))
		}
	}
	p.old = append(p.old, p.key)
	p.key = p.w.newKey(p, t.Add(10*time.Second))
	p.w.leafAt(t.Add(10*time.Second), ledger.Leaf{Kind: ledger.KindAttested, Pod: p.pod, Attestation: &p.key.att})
	p.ship(t.Add(11*time.Second), false)
	for _, s := range p.sessions {
		if !s.closed {
			s.seal(p.key, t.Add(12*time.Second), recording.EndCutOff, true)
			s.closed = true
		}
	}
	p.ship(t.Add(13*time.Second), false)
}

func (p *gpod) begin(t time.Time) *gsession {
	s := &gsession{pod: p, name: store.Session{Namespace: p.pod.Namespace, UID: p.pod.UID, ID: fmt.Sprintf("%s-%d-%08x", p.pod.Name, len(p.sessions), p.w.r.Uint32())}}
	s.enc, _ = recording.Begin(nil)
	if p.encrypt {
		id, err := age.GenerateX25519Identity()
		must(err)
		s.id = id
		p.w.objects[s.name.Key()] = stored{[]byte(id.String()), t}
	}
	s.entry = index.Entry{Session: s.name.ID, DataSource: "data/orders", Namespace: p.pod.Namespace, Pod: p.pod.Name, UID: p.pod.UID, ServiceAccount: "report"}
	p.sessions = append(p.sessions, s)
	s.add(t, access.Event{Kind: access.EventOpened, Opened: &access.Opened{Session: s.name.ID, DataSource: "data/orders", Protocol: "postgres"}})
	return s
}

func (s *gsession) add(t time.Time, e access.Event) {
	e.Time = s.pod.clock(t)
	var err error
	s.buf, err = s.enc.Event(s.buf, &e)
	must(err)
	s.entry.Add(&e)
}

func (s *gsession) statement(t time.Time) {
	s.n++
	at := t.Add(time.Duration(s.n) * time.Microsecond)
	s.add(at, access.Event{Kind: access.EventDecided, Statement: s.n, Decided: &access.Decided{
		Text: fmt.Sprintf("select name from customers where id = %d", s.pod.w.r.IntN(10_000)), Effect: []string{"Allow", "Deny"}[s.pod.w.r.IntN(2)], Policy: "data/reporting", Rule: "read",
	}})
	s.add(at, access.Event{Kind: access.EventEnded, Statement: s.n, Ended: &access.Ended{Outcome: access.OutcomeDone, Rows: int64(s.pod.w.r.IntN(9)), Bytes: 100}})
}

func (s *gsession) end(t time.Time) {
	if s.closed {
		return
	}
	s.statement(t)
	s.add(t.Add(time.Second), access.Event{Kind: access.EventClosed, Closed: &access.Closed{Reason: "Client", Statements: s.n}})
	s.buf = s.enc.End(s.buf, s.pod.clock(t.Add(time.Second)))
	s.seal(s.pod.key, t.Add(time.Second), recording.EndComplete, false)
	s.closed, s.ended = true, true
	if s.pod.w.hook.ended != nil {
		s.pod.w.hook.ended(s, t)
	}
}

// seal seals what was recorded, and puts it into the spool.
func (s *gsession) seal(k *gkey, t time.Time, end recording.End, recovered bool) {
	w := s.pod.w
	h := recording.Head{
		Session: s.name.ID, DataSource: "data/orders", Segment: s.segment + 1, Sealed: s.pod.clock(t), End: end, Recovered: recovered, Attestation: &k.att,
	}
	if t.Before(k.later) || w.hook.unattested {
		h.Attestation = nil
	}
	records := s.buf
	s.buf = nil
	if w.hook.records != nil {
		records = w.hook.records(s, &h, records)
	}
	if len(records) == 0 {
		return
	}
	seg := k.seal(h, records)
	s.segment++
	s.records = append(s.records, records)
	entry := s.entry // counts what is sealed, not what has come since
	s.pod.spool = append(s.pod.spool, spooled{s, func(t time.Time) {
		s.shipped(seg, entry, t)
	}})
}

// seal seals with the Sealer, but in a world where somebody cheats.
func (k *gkey) seal(h recording.Head, records []byte) *recording.Segment {
	if k.pod.w.cheats {
		k.serial++
		h.Serial = k.serial
		seg := evil(k.priv, h, records, func(*recording.Head) {})
		k.sum = recording.NextSum(k.sum, &seg.Signed)
		return seg
	}
	seg, err := k.sealer.Seal(h, records)
	must(err)
	return seg
}

func (k *gkey) sealed() (uint64, recording.Hash) {
	if k.pod.w.cheats {
		return k.serial, k.sum
	}
	return k.sealer.Serial()
}

// shipped stores a segment, and logs it.
func (s *gsession) shipped(seg *recording.Segment, entry index.Entry, t time.Time) *ledger.Leaf {
	w := s.pod.w
	if s.id != nil {
		var err error
		seg, err = recording.Encrypt(seg, s.id.Recipient())
		must(err)
	}
	name := s.name.Segment(seg.Head.Segment)
	b := seg.Append(nil)
	w.objects[name] = stored{b, t}
	l := w.leafAt(t.Add(time.Duration(w.r.IntN(1500))*time.Millisecond), ledger.Leaf{Kind: ledger.KindSealed, Pod: s.pod.pod, Sealed: &ledger.Sealed{
		Head: seg.Signed, Object: name, Stored: sha256.Sum256(b), Size: int64(len(b)),
	}})
	s.leaves = append(s.leaves, l)
	entry.Segments, entry.Chain, entry.End = seg.Head.Segment, seg.Head.Chain, string(seg.Head.End)
	s.indexed = entry
	e, err := json.Marshal(&entry)
	must(err)
	w.objects[s.name.Entry(entry.Began)] = stored{e, t}
	return l
}

// erase erases one encrypted session and removes one old one.
func (w *world) erase() {
	for i, p := range w.pods {
		for _, s := range p.sessions {
			if !s.ended || s.gone || w.r.IntN(6) != 0 {
				continue
			}
			at := w.base.Add(27 * time.Minute)
			switch {
			case i == 0 && p.kind == "stopped":
				w.leafAt(at, ledger.Leaf{Kind: ledger.KindRemoved, Pod: p.pod, Ended: &ledger.Ended{Session: s.name.ID, By: "retention", Reason: "2h"}})
				for n := range s.segment {
					delete(w.objects, s.name.Segment(n+1))
				}
			case s.id != nil:
				w.leafAt(at, ledger.Leaf{Kind: ledger.KindErased, Pod: p.pod, Ended: &ledger.Ended{Session: s.name.ID, By: "dpo", Reason: "article 17"}})
				delete(w.objects, s.name.Key())
			default:
				continue
			}
			s.gone = true
		}
	}
}

// publish orders the leaves by their times, and makes a log of them.
func (w *world) publish() {
	slices.SortStableFunc(w.leaves, func(a, b *ledger.Leaf) int { return a.Time.Compare(b.Time) })
	w.raw = nil
	for _, l := range w.leaves {
		b, err := json.Marshal(l)
		must(err)
		w.raw = append(w.raw, b)
	}
	w.publishRaw()
}

// publishRaw makes the log of the entries and signs it.
func (w *world) publishRaw() {
	for name := range w.objects {
		if strings.HasPrefix(name, store.Log) {
			delete(w.objects, name)
		}
	}
	w.tiles()
	w.objects[CheckpointObject] = stored{w.checkpoint(len(w.raw), w.signer), w.now}
}

// tiles writes bundles and tiles with tlog's own code, not with that which is tested.
func (w *world) tiles() {
	var hashes []tlog.Hash
	reader := tlog.HashReaderFunc(func(at []int64) (out []tlog.Hash, _ error) {
		for _, i := range at {
			out = append(out, hashes[i])
		}
		return out, nil
	})
	for i, e := range w.raw {
		hs, err := tlog.StoredHashes(int64(i), e, reader)
		must(err)
		hashes = append(hashes, hs...)
	}
	for _, t := range tlog.NewTiles(8, 0, int64(len(w.raw))) {
		data, err := tlog.ReadTileData(t, reader)
		must(err)
		w.objects[store.Log+strings.Replace(t.Path(), "tile/8/", "tile/", 1)] = stored{data, w.now}
		if t.L > 0 {
			continue
		}
		var b []byte
		for i := range t.W {
			e := w.raw[t.N*tileWidth+int64(i)]
			b = append(binary.BigEndian.AppendUint16(b, uint16(len(e))), e...)
		}
		w.objects[store.Log+strings.Replace(t.Path(), "tile/8/0/", "tile/entries/", 1)] = stored{b, w.now}
	}
}

// checkpoint signs the state of the first n entries.
func (w *world) checkpoint(n int, signer note.Signer) []byte {
	t := &tree{full: func(int, int64, []byte) {}}
	for _, e := range w.raw[:n] {
		t.add(e)
	}
	b, err := note.Sign(&note.Note{Text: fmt.Sprintf("tidewaiter.dev/log/test\n%d\n%s\n", n, t.root())}, signer)
	must(err)
	return b
}

// Open implements store.Source.
func (w *world) Open(_ context.Context, name string) (io.ReadCloser, error) {
	o, ok := w.objects[name]
	if !ok {
		return nil, store.ErrNotFound
	}
	return io.NopCloser(bytes.NewReader(o.data)), nil
}

// List implements store.Source.
func (w *world) List(_ context.Context, prefix string) iter.Seq2[store.Object, error] {
	return func(yield func(store.Object, error) bool) {
		for _, name := range w.names(prefix) {
			if o := w.objects[name]; !yield(store.Object{Name: name, Size: int64(len(o.data)), Time: o.time}, nil) {
				return
			}
		}
	}
}

// Identity implements store.Source.
func (w *world) Identity(_ context.Context, s store.Session) (age.Identity, error) {
	o, ok := w.objects[s.Key()]
	if !ok {
		return nil, store.ErrErased
	}
	return age.ParseX25519Identity(string(o.data))
}

func (w *world) names(prefix string) (out []string) {
	for name := range w.objects {
		if strings.HasPrefix(name, prefix) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// verify verifies the world, with checkpoints from elsewhere.
func (w *world) verify(t testing.TB, scope Scope, views ...View) (Summary, []Finding, []byte) {
	t.Helper()
	var found []Finding
	sum, log, err := Verify(context.Background(), Options{
		Source: w, Operator: w.operator.Public().(ed25519.PublicKey), LogKey: w.logKey, Views: views, Scope: scope, Now: w.now, Report: func(f Finding) { found = append(found, f) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return sum, found, log
}
