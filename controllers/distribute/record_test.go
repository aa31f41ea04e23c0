package distribute

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	sidecarv1alpha1 "github.com/tidewaiter/tidewaiter/api/sidecar/v1alpha1"
	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/controllers/session"
	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/recording"
	journal "github.com/tidewaiter/tidewaiter/recording/ledger"
)

func (c *sidecar) chunk(chunk *sidecarv1alpha1.RecordingChunk) *sidecarv1alpha1.RecordingAck {
	c.t.Helper()
	c.send(&sidecarv1alpha1.ConnectRequest{Message: &sidecarv1alpha1.ConnectRequest_Recording{Recording: chunk}})
	for {
		if ack := c.next().GetRecording(); ack != nil {
			return ack
		}
	}
}

// segment is a session of one segment.
func segment(t *testing.T, key ed25519.PrivateKey, id, dataSource string, att *recording.Signed) *recording.Segment {
	t.Helper()
	sealer, err := recording.NewSealer(key)
	must(t, err)
	enc, _ := recording.Begin(nil)
	records, err := enc.Event(nil, &access.Event{Kind: access.EventOpened, Time: time.Now(), Opened: &access.Opened{Session: id}})
	must(t, err)
	seg, err := sealer.Seal(recording.Head{
		Session: id, DataSource: dataSource, Segment: 1, Sealed: time.Now(), End: recording.EndComplete, Attestation: att,
	}, enc.End(records, time.Now()))
	must(t, err)
	return seg
}

// leaves is a log of recordings, in memory.
type leaves struct {
	mu  sync.Mutex
	all []journal.Leaf
}

func (l *leaves) Append(_ context.Context, leaf *journal.Leaf) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, *leaf)
	return nil
}

// forEver keeps recordings for ever.
type forEver struct{}

func (forEver) Of(context.Context, string) (time.Duration, error) { return 0, nil }
func (forEver) Shortest(context.Context) (time.Duration, error)   { return 0, nil }

// leaves are those that were logged.
func (o *operator) leaves() map[journal.Kind][]journal.Leaf {
	o.kept.mu.Lock()
	defer o.kept.mu.Unlock()
	all := map[journal.Kind][]journal.Leaf{}
	for _, leaf := range o.kept.all {
		all[leaf.Kind] = append(all[leaf.Kind], leaf)
	}
	return all
}

// attested connects with a key, and returns the operator's word for it.
func (s shop) attested(t *testing.T, pod string) (*sidecar, *recording.Signed) {
	t.Helper()
	c := s.dial(t, s.token(t, s.pod(t, pod, "orders")))
	_, key, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	c.key = key
	c.send(&sidecarv1alpha1.ConnectRequest{Message: &sidecarv1alpha1.ConnectRequest_Hello{Hello: c.greeting()}})
	first := c.next().GetAttestation()
	if first == nil {
		t.Fatal("the first message is no attestation")
	}
	return c, &recording.Signed{Statement: first.GetStatement(), Signature: first.GetSignature()}
}

func TestReportsAndRecordingsShowInTheSession(t *testing.T) {
	s := start(t, func(_ *Options, o *session.Options) { o.Refresh = time.Second }).shop(t)
	c, signed := s.attested(t, "report")
	c.snapshot(true)
	att, err := recording.OpenAttestation(s.attests.Public().(ed25519.PublicKey), signed)
	if err != nil || att.Pod != "report" || !att.Key.Equal(c.key.Public()) {
		t.Errorf("attestation %+v, %v", att, err)
	}
	name := s.data + "/orders"
	seg := segment(t, c.key, "s-1", name, signed)
	raw := seg.Append(nil)
	sum := sha256.Sum256(raw)
	half := len(raw) / 2
	if ack := c.chunk(&sidecarv1alpha1.RecordingChunk{Id: "s-1", Segment: 1, DataSource: name, Data: raw[:half]}); ack.GetSize() != uint64(half) || ack.GetComplete() || ack.GetSegment() != 1 {
		t.Errorf("first chunk: %v", ack)
	}
	last := &sidecarv1alpha1.RecordingChunk{Id: "s-1", Segment: 1, DataSource: name, Offset: uint64(half), Data: raw[half:], Complete: true, Sha256: sum[:]}
	if ack := c.chunk(last); !ack.GetComplete() {
		t.Errorf("last chunk: %v", ack)
	}
	if ack := c.chunk(&sidecarv1alpha1.RecordingChunk{Id: "../../x", Segment: 1, DataSource: name, Data: []byte("x")}); ack.GetRejected() == "" {
		t.Errorf("a path was taken: %v", ack)
	}
	if ack := c.chunk(&sidecarv1alpha1.RecordingChunk{Id: "b", Segment: 1, DataSource: "data/others", Data: []byte("x")}); ack.GetRejected() == "" {
		t.Errorf("another data source's was taken: %v", ack)
	}
	now := time.Now()
	report := &sidecarv1alpha1.Report{
		DataSource: name, Connections: 2, Statements: 12, Denied: 1, MaskedValues: 6, Rows: 40, Bytes: 400, Held: 1,
		LastActivity: timestamppb.New(now), LastRecording: "s-1",
	}
	c.report(report)
	eventually(t, "the report", func() bool { return s.session(t, "report", "orders").Status.Statements == 12 })
	st := s.session(t, "report", "orders").Status
	if st.State != v1alpha1.SessionActive || st.Denied != 1 || st.Masked != 6 || st.Rows != 40 || st.Bytes != 400 || st.Held != 1 ||
		st.LastActivity.Unix() != now.Unix() || st.ChainHead != seg.Head.Chain.String() {
		t.Errorf("status %+v", st)
	}
	folder, _ := strings.CutPrefix(st.Recording, "file://")
	if _, err := os.Stat(filepath.Join(folder, "00000001.tws")); err != nil {
		t.Errorf("recording %q: %v", st.Recording, err)
	}
	if got := s.leaves(); len(got[journal.KindAttested]) != 1 || len(got[journal.KindSealed]) != 1 {
		t.Errorf("leaves %+v", got)
	}
}

// A stream that knows nothing of a session yet finds it in the store.
func TestARecordingOfAnEarlierStreamShowsInTheSession(t *testing.T) {
	s := start(t, func(_ *Options, o *session.Options) { o.Refresh = 100 * time.Millisecond }).shop(t)
	c, signed := s.attested(t, "report")
	c.snapshot(true)
	name := s.data + "/orders"
	raw := segment(t, c.key, "s-1", name, signed).Append(nil)
	sum := sha256.Sum256(raw)
	if ack := c.chunk(&sidecarv1alpha1.RecordingChunk{Id: "s-1", Segment: 1, DataSource: name, Data: raw, Complete: true, Sha256: sum[:]}); !ack.GetComplete() {
		t.Fatalf("%v", ack)
	}
	c.close()
	pod := &corev1.Pod{}
	must(t, s.client.Get(t.Context(), types.NamespacedName{Namespace: s.work, Name: "report"}, pod))
	again := s.connect(t, pod)
	again.snapshot(true)
	eventually(t, "the recording", func() bool {
		again.report(&sidecarv1alpha1.Report{DataSource: name, LastRecording: "s-1"})
		return strings.HasSuffix(s.session(t, "report", "orders").Status.Recording, "/s-1/")
	})
}

func TestAHeartbeatIsLogged(t *testing.T) {
	s := start(t, nil).shop(t)
	c, _ := s.attested(t, "report")
	c.snapshot(true)
	beat, err := recording.Beat(c.key, &recording.Heartbeat{Key: recording.IDOf(c.key.Public().(ed25519.PublicKey)), Number: 1, Every: 60, Last: true})
	must(t, err)
	c.send(&sidecarv1alpha1.ConnectRequest{Message: &sidecarv1alpha1.ConnectRequest_Heartbeat{
		Heartbeat: &sidecarv1alpha1.RecordingHeartbeat{Statement: beat.Statement, Signature: beat.Signature},
	}})
	must(t, c.stream.CloseSend()) // it stops: what it said last counts
	eventually(t, "the leaf", func() bool { return len(s.leaves()[journal.KindAlive]) == 1 })
	if leaf := s.leaves()[journal.KindAlive][0]; leaf.Pod.Name != "report" || string(leaf.Alive.Statement) != string(beat.Statement) {
		t.Errorf("%+v", leaf)
	}
}

func TestASidecarThatDoesNotHoldItsKeyIsRefused(t *testing.T) {
	s := start(t, nil).shop(t)
	c := s.dial(t, s.token(t, s.pod(t, "report", "orders")))
	_, key, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	c.key = key
	hello := c.greeting()
	hello.RecordingProof[0] ^= 1
	c.send(&sidecarv1alpha1.ConnectRequest{Message: &sidecarv1alpha1.ConnectRequest_Hello{Hello: hello}})
	if msg, err := c.stream.Recv(); status.Code(err) != codes.InvalidArgument {
		t.Errorf("%v, %v", msg, err)
	}
}
