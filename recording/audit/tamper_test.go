package audit

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/tidewaiter/tidewaiter/recording"
	"github.com/tidewaiter/tidewaiter/recording/ledger"
)

// tamperCase is something that somebody may do, and what verification must say of it.
type tamperCase struct {
	name string
	// by is what the attacker has: the store, the log's key, a sidecar's key, the sidecar itself, the network between.
	by    string
	want  []Code
	level Severity
	kinds []string
	hook  func(r *rand.Rand) hook
	// do tampers, and reports whether there was a place for it. It may return views that were taken before.
	do func(w *world, r *rand.Rand) ([]View, bool)
}

func TestEveryTamperingIsFoundAndNamed(t *testing.T) {
	rounds := 4 // TAMPER_ROUNDS=25 for docs/verify.md
	if n, err := strconv.Atoi(os.Getenv("TAMPER_ROUNDS")); err == nil && n > 0 {
		rounds = n
	} else if testing.Short() {
		rounds = 1
	}
	cases := slices.Concat(storeCases, logStoreCases, logKeyCases, networkCases, sidecarCases, keyCases)
	if len(cases) < 30 {
		t.Fatalf("only %d cases", len(cases))
	}
	lines := []string{"| what is done | by whom who has | code | severity | rounds | found |", "|---|---|---|---|---:|---:|"}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			done, caught := 0, 0
			for seed := uint64(1); done < rounds && seed < uint64(rounds)*20; seed++ {
				r := rand.New(rand.NewPCG(seed, uint64(len(c.name))))
				h := hook{}
				if c.hook != nil {
					h = c.hook(r)
				}
				w := build(r, h, c.kinds...)
				views, ok := c.do(w, r)
				if !ok {
					continue
				}
				done++
				_, found, _ := w.verify(t, Scope{}, views...)
				if slices.ContainsFunc(found, func(f Finding) bool { return slices.Contains(c.want, f.Code) && f.Severity == c.level && f.What != "" }) {
					caught++
				} else {
					t.Errorf("seed %d: none of %v (%s) in %s", seed, c.want, c.level, brief(found))
				}
			}
			if done < rounds {
				t.Errorf("only %d of %d stores had a place for it", done, rounds)
			}
			lines = append(lines, fmt.Sprintf("| %s | %s | %s | %s | %d | %d |", c.name, c.by, codes(c.want), c.level, done, caught))
		})
	}
	t.Logf("%d cases\n%s", len(cases), strings.Join(lines, "\n"))
	if out := os.Getenv("TAMPER_TABLE"); out != "" {
		if err := os.WriteFile(out, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
			t.Error(err)
		}
	}
}

func codes(c []Code) string {
	var out []string
	for _, one := range c {
		out = append(out, "`"+string(one)+"`")
	}
	return strings.Join(out, ", ")
}

func brief(found []Finding) string {
	var out []string
	for _, f := range found[:min(len(found), 12)] {
		out = append(out, fmt.Sprintf("\n\t%s %s %s/%d: %s", f.Severity, f.Code, f.Session, f.Segment, f.What))
	}
	return fmt.Sprintf("%d findings%s", len(found), strings.Join(out, ""))
}

// What follows picks places.

func pick[T any](r *rand.Rand, all []T) (one T, ok bool) {
	if len(all) == 0 {
		return one, false
	}
	return all[r.IntN(len(all))], true
}

// sessions of the world that a test holds for.
func (w *world) sessions(keep func(*gsession) bool) (out []*gsession) {
	for _, p := range w.pods {
		for _, s := range p.sessions {
			if len(s.leaves) > 0 && !s.gone && (keep == nil || keep(s)) {
				out = append(out, s)
			}
		}
	}
	return out
}

// aSegment is a leaf of a segment that is there.
func (w *world) aSegment(r *rand.Rand, keep func(*gsession) bool) (*gsession, *ledger.Leaf, bool) {
	s, ok := pick(r, w.sessions(keep))
	if !ok {
		return nil, nil, false
	}
	return s, s.leaves[r.IntN(len(s.leaves))], true
}

// ofKind picks a leaf of a kind.
func (w *world) ofKind(r *rand.Rand, kind ledger.Kind) (*ledger.Leaf, bool) {
	return pick(r, slices.DeleteFunc(slices.Clone(w.leaves), func(l *ledger.Leaf) bool { return l.Kind != kind }))
}

// drop takes leaves out of the log.
func (w *world) drop(gone func(*ledger.Leaf) bool) {
	w.leaves = slices.DeleteFunc(w.leaves, gone)
}

func (w *world) put(name string, b []byte) {
	o := w.objects[name]
	if o.time.IsZero() {
		o.time = w.base
	}
	w.objects[name] = stored{b, o.time}
}

// flip changes a byte of an object between two places.
func (w *world) flip(r *rand.Rand, name string, from, to int) bool {
	b := slices.Clone(w.objects[name].data)
	if to > len(b) || to < 0 {
		to = len(b)
	}
	if from >= to {
		return false
	}
	b[from+r.IntN(to-from)] ^= byte(1 + r.IntN(255))
	w.put(name, b)
	return true
}

func (w *world) keyOf(id recording.KeyID) *gkey {
	for _, p := range w.pods {
		for _, k := range append(slices.Clone(p.old), p.key) {
			if recording.IDOf(k.priv.Public().(ed25519.PublicKey)) == id {
				return k
			}
		}
	}
	return nil
}

func headOf(l *ledger.Leaf) (h recording.Head) {
	must(json.Unmarshal(l.Sealed.Head.Statement, &h))
	return h
}

// signHead signs whatever head, as whoever has the key can.
func signHead(key ed25519.PrivateKey, h *recording.Head) recording.Signed {
	b, err := json.Marshal(h)
	must(err)
	return recording.Signed{Statement: b, Signature: ed25519.Sign(key, append([]byte("tidewaiter.dev/recording/v2/segment\n"), b...))}
}

// restore stores a segment under a leaf's name, and lets the leaf say so.
func (w *world) restore(l *ledger.Leaf, seg *recording.Segment) {
	b := seg.Append(nil)
	w.put(l.Sealed.Object, b)
	l.Sealed.Head, l.Sealed.Stored, l.Sealed.Size = seg.Signed, sha256.Sum256(b), int64(len(b))
}

// resealed is a segment of records with a head that somebody signs.
func (s *gsession) resealed(key ed25519.PrivateKey, records []byte, change func(*recording.Head)) *recording.Segment {
	seg := evil(key, recording.Head{Session: s.name.ID, DataSource: "data/orders"}, records, change)
	if s.id != nil {
		var err error
		seg, err = recording.Encrypt(seg, s.id.Recipient())
		must(err)
	}
	return seg
}

// evil seals whatever it is given: the Sealer refuses to.
func evil(key ed25519.PrivateKey, h recording.Head, records []byte, change func(*recording.Head)) *recording.Segment {
	all := cut(records)
	first, last := all[0], all[len(all)-1]
	at := func(b []byte) time.Time { return time.Unix(0, int64(binary.BigEndian.Uint64(b[frameTime:]))).UTC() }
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20))
	must(err)
	body := enc.EncodeAll(records, nil)
	h.First, h.From, h.Previous = binary.BigEndian.Uint64(first[8:]), at(first), recording.Hash(first[24:56])
	h.Last, h.To, h.Chain = binary.BigEndian.Uint64(last[8:]), at(last), recording.Hash(last[len(last)-frameHash:])
	h.Key = recording.IDOf(key.Public().(ed25519.PublicKey))
	h.Body, h.Size, h.Plain = sha256.Sum256(body), int64(len(body)), int64(len(records))
	if h.Sealed.Before(h.To) {
		h.Sealed = h.To
	}
	change(&h)
	return &recording.Segment{Head: h, Signed: signHead(key, &h), Kind: recording.BodyZstd, Body: body}
}

// cut cuts records into single ones.
func cut(records []byte) (out [][]byte) {
	for len(records) > 0 {
		n := frameHeader + int(uint32(records[0])<<24|uint32(records[1])<<16|uint32(records[2])<<8|uint32(records[3])) + frameHash
		out, records = append(out, records[:n:n]), records[n:]
	}
	return out
}

func many(n int) func(*gsession) bool { return func(s *gsession) bool { return len(s.leaves) >= n } }
func hasEnded(s *gsession) bool       { return s.ended }

// once lets a hook happen at one place.
func once(r *rand.Rand, one func(s *gsession, h *recording.Head, records []byte) ([]byte, bool)) hook {
	skip, done := r.IntN(12), false
	return hook{records: func(s *gsession, h *recording.Head, records []byte) []byte {
		if skip--; skip >= 0 || done {
			return records
		}
		out, ok := one(s, h, records)
		if !ok {
			return records
		}
		done = true
		s.pod.w.hook.records, s.pod.w.cheated = nil, s
		return out
	}}
}

// happened reports whether a hook of once has been used up, and the session can still be looked into.
func happened(w *world, _ *rand.Rand) ([]View, bool) { return nil, w.cheated != nil && !w.cheated.gone }

// settledLong are sessions whose segments could not be on their way any more.
func settledLong(w *world) func(*gsession) bool {
	return func(s *gsession) bool {
		return s.ended && w.now.Sub(s.leaves[len(s.leaves)-1].Time) > Grace+time.Minute && !w.lastOfKey(s)
	}
}

// shownLong reports whether later segments have shown for long that there was this session, or its pod has said that all had arrived.
func (w *world) shownLong(s *gsession) bool {
	return !s.pod.gone.IsZero() || slices.ContainsFunc(w.leaves, func(l *ledger.Leaf) bool {
		return l.Kind == ledger.KindSealed && l.Pod == s.pod.pod && l.Time.After(s.leaves[len(s.leaves)-1].Time) && w.now.Sub(l.Time) > Grace+time.Minute
	})
}
