package ledger

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/transparency-dev/formats/log"
	"github.com/transparency-dev/formats/note"
	sumnote "golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tidewaiter/tidewaiter/recording/ledger"
)

// witness is a server that does what C2SP tlog-witness says, for one log.
type witness struct {
	*httptest.Server
	signer   *note.Signer
	verifier sumnote.Verifier
	config   string
	log      sumnote.Verifier

	mu     sync.Mutex
	size   int64
	root   tlog.Hash
	down   bool
	status map[int]int // how often it has answered so
}

func startWitness(t *testing.T, name string) *witness {
	t.Helper()
	secret, public, err := sumnote.GenerateKey(rand.Reader, name)
	if err != nil {
		t.Fatal(err)
	}
	w := &witness{log: testKeys().Verifier, status: make(map[int]int)}
	if w.signer, err = note.NewSignerForCosignatureV1(secret); err != nil {
		t.Fatal(err)
	}
	vkey, err := note.VKeyToCosignatureV1(public)
	if err != nil {
		t.Fatal(err)
	}
	if w.verifier, err = note.NewVerifierForCosignatureV1(vkey); err != nil {
		t.Fatal(err)
	}
	w.Server = httptest.NewServer(http.HandlerFunc(w.serve))
	t.Cleanup(w.Close)
	w.config = vkey + "@" + w.URL
	return w
}

func (w *witness) serve(out http.ResponseWriter, in *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	status, kind, body := w.answer(in)
	w.status[status]++
	if kind != "" {
		out.Header().Set("Content-Type", kind)
	}
	out.WriteHeader(status)
	_, _ = out.Write(body)
}

func (w *witness) answer(in *http.Request) (status int, kind string, body []byte) {
	if w.down || in.Method != http.MethodPost || in.URL.Path != "/add-checkpoint" {
		return http.StatusServiceUnavailable, "", nil
	}
	request, err := io.ReadAll(in.Body)
	if err != nil {
		return http.StatusBadRequest, "", nil
	}
	head, signed, ok := bytes.Cut(request, []byte("\n\n"))
	lines := strings.Split(string(head), "\n")
	old, err := strconv.ParseInt(strings.TrimPrefix(lines[0], "old "), 10, 64)
	if !ok || err != nil || len(lines) > 64 {
		return http.StatusBadRequest, "", nil
	}
	opened, err := sumnote.Open(signed, sumnote.VerifierList(w.log))
	if err != nil {
		return http.StatusForbidden, "", nil
	}
	var c log.Checkpoint
	if _, err := c.Unmarshal([]byte(opened.Text)); err != nil || c.Origin != w.log.Name() {
		return http.StatusNotFound, "", nil
	}
	size, root := int64(c.Size), tlog.Hash(c.Hash)
	if old > size {
		return http.StatusBadRequest, "", nil
	}
	if old != w.size {
		return http.StatusConflict, "text/x.tlog.size", fmt.Appendf(nil, "%d\n", w.size)
	}
	if old == size && root != w.root {
		return http.StatusConflict, "", nil
	}
	if !w.consistent(lines[1:], old, size, root) {
		return http.StatusUnprocessableEntity, "", nil
	}
	w.size, w.root = size, root
	cosigned, err := sumnote.Sign(&sumnote.Note{Text: opened.Text}, w.signer)
	if err != nil {
		return http.StatusInternalServerError, "", nil
	}
	return http.StatusOK, "", cosigned[len(opened.Text)+1:]
}

func (w *witness) consistent(lines []string, old, size int64, root tlog.Hash) bool {
	if old == 0 || old == size {
		return len(lines) == 0
	}
	var proof tlog.TreeProof
	for _, line := range lines {
		h, err := base64.StdEncoding.DecodeString(line)
		if err != nil || len(h) != tlog.HashSize {
			return false
		}
		proof = append(proof, tlog.Hash(h))
	}
	return tlog.CheckTree(proof, size, root, old, w.root) == nil
}

func (w *witness) set(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

func condition(t *testing.T, r *register) metav1.Condition {
	t.Helper()
	var all []metav1.Condition
	if err := json.Unmarshal([]byte(r.state.Published[KeyConditions]), &all); err != nil || len(all) != 1 {
		t.Fatalf("conditions %q: %v", r.state.Published[KeyConditions], err)
	}
	return all[0]
}

func cosignedBy(t *testing.T, signed []byte, all ...*witness) []string {
	t.Helper()
	var keys []sumnote.Verifier
	for _, w := range all {
		keys = append(keys, w.verifier)
	}
	c, err := ledger.ParseCheckpoint(signed, origin, testKeys().Verifier, keys...)
	if err != nil {
		t.Fatal(err)
	}
	return c.Witnesses
}

func TestWitnessesCosignWhatIsConsistent(t *testing.T) {
	one, two := startWitness(t, "witness.example/one"), startWitness(t, "witness.example/two")
	m, r, now := newMemory(), &register{}, time.Now()
	registry := prometheus.NewRegistry()
	s := newSequencer(t, m, r, func(o *Options) {
		o.Quorum, o.Registerer, o.Now = 2, registry, func() time.Time { return now }
		for _, w := range []*witness{one, two} {
			parsed, err := ParseWitness(w.config)
			if err != nil {
				t.Fatal(err)
			}
			o.Witnesses = append(o.Witnesses, parsed)
		}
	})
	n := 0
	grow := func(by int) {
		for range by {
			appendLeaf(t, m, n)
			n++
		}
		now = now.Add(time.Second)
		drain(t, s, m)
	}
	idle := func() {
		for range flushEvery {
			if _, err := s.Tick(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, by := range []int{1, 299, 5} {
		grow(by)
		if got := cosignedBy(t, m.m[ledger.CheckpointName], one, two); len(got) != 2 {
			t.Fatalf("%d leaves: cosigned by %v", n, got)
		}
	}
	idle()
	if c := condition(t, r); c.Status != metav1.ConditionTrue || len(cosignedBy(t, []byte(r.state.Published[KeyCosigned]), one, two)) != 2 {
		t.Errorf("%+v", c)
	}

	// Without one the log goes on, and says so.
	two.set(func() { two.down = true })
	grow(1)
	idle()
	if got := cosignedBy(t, m.m[ledger.CheckpointName], one, two); len(got) != 1 || got[0] != "witness.example/one" {
		t.Errorf("cosigned by %v", got)
	}
	if c := condition(t, r); c.Status != metav1.ConditionFalse || c.Reason != ReasonNoQuorum || !strings.Contains(c.Message, "witness.example/two") {
		t.Errorf("%+v", c)
	}
	if got := testutil.ToFloat64(s.metrics.failures.WithLabelValues("witness")); got != 1 {
		t.Errorf("%v failures of witnesses: one that is down is asked each time", got)
	}
	last := []byte(r.state.Published[KeyCosigned])
	if c, err := s.parse(last); err != nil || c.Tree.N != int64(n-1) {
		t.Errorf("the last checkpoint with a quorum is of %d leaves, %v", c.Tree.N, err)
	}

	// It comes back and is told of what it has missed, though nothing is pending.
	two.set(func() { two.down = false })
	now = now.Add(longestRest)
	idle()
	if got := cosignedBy(t, m.m[ledger.CheckpointName], one, two); len(got) != 2 {
		t.Errorf("cosigned by %v", got)
	}
	// A new leader does not know what witnesses have: they tell it.
	if one.status[http.StatusConflict] != 0 {
		t.Errorf("the first leader was told its size %d times", one.status[http.StatusConflict])
	}
	fresh, err := ParseWitness(one.config)
	if err != nil {
		t.Fatal(err)
	}
	s = newSequencer(t, m, r, func(o *Options) { o.Witnesses = []*Witness{fresh} })
	grow(3)
	if got := cosignedBy(t, m.m[ledger.CheckpointName], one); len(got) != 1 || one.status[http.StatusConflict] != 1 {
		t.Errorf("cosigned by %v, after %d conflicts", got, one.status[http.StatusConflict])
	}
	inLog(t, m, r, n)
}

func TestAWitnessDoesNotCosignASecondFace(t *testing.T) {
	w := startWitness(t, "witness.example/one")
	with := func(o *Options) {
		parsed, err := ParseWitness(w.config)
		if err != nil {
			t.Fatal(err)
		}
		o.Witnesses, o.Quorum = []*Witness{parsed}, 1
	}
	m, r := newMemory(), &register{}
	for i := range 10 {
		appendLeaf(t, m, i)
	}
	drain(t, newSequencer(t, m, r, with), m)
	// Who holds bucket, register and key makes the log anew, without the first leaf and longer.
	for name, from := range map[string]int{"another log": 1, "a shorter one": 6} {
		forged, forgedState := newMemory(), &register{}
		for i := from; i < 12; i++ {
			appendLeaf(t, forged, i)
		}
		s := newSequencer(t, forged, forgedState, with)
		drain(t, s, forged)
		if got := cosignedBy(t, forged.m[ledger.CheckpointName], w); len(got) != 0 {
			t.Errorf("%s is cosigned", name)
		}
		if !s.unmet || !strings.Contains(s.state.Published[KeyConditions], ReasonNoQuorum) {
			t.Errorf("%s: %s", name, s.state.Published[KeyConditions])
		}
	}
}

func TestWhatAWitnessMayAnswerIsBounded(t *testing.T) {
	good := startWitness(t, "witness.example/one")
	other := startWitness(t, "witness.example/one") // of the same name, with another key
	key, _, _ := strings.Cut(good.config, "@")
	answers := map[string]http.HandlerFunc{
		"nothing":  func(http.ResponseWriter, *http.Request) {},
		"too much": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(bytes.Repeat([]byte("— x y\n"), 1<<20)) },
		"an endless size": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusConflict)
			_, _ = w.Write([]byte("99\n"))
		},
		"a size again": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusConflict)
			_, _ = w.Write([]byte("1\n"))
		},
		"another direction": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, good.URL+"/add-checkpoint", http.StatusTemporaryRedirect)
		},
		"another key's": other.serve,
	}
	for name, answer := range answers {
		server := httptest.NewServer(answer)
		m := newMemory()
		for i := range 3 {
			appendLeaf(t, m, i)
		}
		parsed, err := ParseWitness(key + "@" + server.URL)
		if err != nil {
			t.Fatal(err)
		}
		s := newSequencer(t, m, &register{}, func(o *Options) { o.Witnesses, o.Quorum = []*Witness{parsed}, 1 })
		drain(t, s, m)
		if c := published(t, m); c.Tree.N != 3 || len(cosignedBy(t, m.m[ledger.CheckpointName], good)) > 0 || !s.unmet {
			t.Errorf("%s: taken for a cosignature", name)
		}
		server.Close()
	}
}

func TestAWitnessIsConfiguredWithItsKeyAndItsURL(t *testing.T) {
	w := startWitness(t, "witness.example/one")
	key, _, _ := strings.Cut(w.config, "@")
	if _, err := ParseWitness(key + "@https://witness.example/prefix/"); err != nil {
		t.Error(err)
	}
	for _, text := range []string{"", key, key + "@", key + "@ftp://x", key + "@https://user:secret@x", "x+y@https://x"} {
		_, err := ParseWitness(text)
		if err == nil || !strings.Contains(err.Error(), "--log-witness") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := New(Options{Objects: newMemory(), Register: &register{}, Keys: testKeys(), Quorum: 1}); err == nil || errors.Is(err, errCrash) {
		t.Error("a quorum of no witnesses")
	}
}
