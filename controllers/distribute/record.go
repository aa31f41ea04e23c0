package distribute

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	sidecarv1alpha1 "github.com/tidewaiter/tidewaiter/api/sidecar/v1alpha1"
	"github.com/tidewaiter/tidewaiter/controllers/recordings"
	"github.com/tidewaiter/tidewaiter/recording"
)

const (
	// maxChunks of a stream may wait; a sidecar waits for the answer to each, so more do only where the store is slow. What is
	// beyond is dropped: the answer to the next says where to go on.
	maxChunks = 2
	// maxChunkBytes of all streams may wait.
	maxChunkBytes = 16 << 20
	// maxBeats of a stream may wait.
	maxBeats = 8
	// keepTimeout bounds one segment: its attempts, and those of its leaf.
	keepTimeout = 3 * time.Minute
	// flushEvery is how often a stream tries to log what waits for that.
	flushEvery = 10 * time.Second
)

// recorder takes in what a sidecar records, beside the conversation: a slow store delays no revocation, and nothing that the sidecar
// says else.
type recorder struct {
	open   atomic.Bool // recordAll takes what is queued, all of it
	chunks chan *sidecarv1alpha1.RecordingChunk
	beats  chan heard
	looks  chan look
}

// heard is a heartbeat, and when it came.
type heard struct {
	beat *sidecarv1alpha1.RecordingHeartbeat
	at   time.Time
}

// look asks for a session that has ended.
type look struct{ dataSource, session string }

func newRecorder() *recorder {
	return &recorder{
		chunks: make(chan *sidecarv1alpha1.RecordingChunk, maxChunks),
		beats:  make(chan heard, maxBeats),
		looks:  make(chan look, 1),
	}
}

// joinRecordings begins the recording side of a stream; nil where recordings are not kept. A key that the sidecar cannot prove ends the
// stream.
func (l *line) joinRecordings(hello *sidecarv1alpha1.Hello) (*recordings.Stream, error) {
	if l.s.o.Recordings == nil {
		return nil, nil
	}
	pod := l.id.pod
	st, err := l.s.o.Recordings.Join(recordings.Pod{
		Namespace: pod.Namespace, Name: pod.Name, UID: string(pod.UID), ServiceAccount: pod.Spec.ServiceAccountName, Node: pod.Spec.NodeName,
	}, hello.GetRecordingKey(), hello.GetInstance(), hello.GetRecordingProof())
	if errors.Is(err, recordings.ErrProof) {
		return nil, outOfTurn("the sidecar does not hold the key that it wants attested")
	}
	if err != nil {
		return nil, unavailable(ReasonInternal, "the operator cannot attest the sidecar's key: try again")
	}
	if signed := st.Attestation(); signed != nil { // there is room: it is the first message
		l.out <- &sidecarv1alpha1.ConnectResponse{Message: &sidecarv1alpha1.ConnectResponse_Attestation{
			Attestation: &sidecarv1alpha1.RecordingAttestation{Statement: signed.Statement, Signature: signed.Signature},
		}}
	}
	return st, nil
}

// takeChunk queues a chunk for recordAll.
func (l *line) takeChunk(chunk *sidecarv1alpha1.RecordingChunk) {
	size := int64(len(chunk.GetData()))
	if !l.recorder.open.Load() || !l.s.chunkBytes.TryAcquire(size) {
		l.s.metrics.recording.WithLabelValues("Busy").Inc()
		return
	}
	select {
	case l.recorder.chunks <- chunk:
	default:
		l.s.chunkBytes.Release(size)
		l.s.metrics.recording.WithLabelValues("Busy").Inc()
	}
}

// takeBeat queues a heartbeat for recordAll.
func (l *line) takeBeat(beat *sidecarv1alpha1.RecordingHeartbeat) {
	select {
	case l.recorder.beats <- heard{beat, time.Now()}:
	default:
		l.s.metrics.recording.WithLabelValues("HeartbeatDropped").Inc()
	}
}

// recordAll takes in what is queued until the stream ends. What the sidecar has said before that counts: its last heartbeat is
// followed by the end.
func (l *line) recordAll(ctx context.Context, st *recordings.Stream) {
	ticker := time.NewTicker(flushEvery)
	defer ticker.Stop()
	l.recorder.open.Store(true)
	l.flush(ctx, st) // the attestation
	for {
		select {
		case chunk := <-l.recorder.chunks:
			ack := l.record(ctx, st, chunk)
			l.s.chunkBytes.Release(int64(len(chunk.GetData())))
			l.reply(ctx, ack)
		case beat := <-l.recorder.beats:
			l.beat(st, beat)
			l.flush(ctx, st)
		case look := <-l.recorder.looks:
			l.find(ctx, st, look)
		case <-ticker.C:
			l.flush(ctx, st)
		case <-l.stop:
			l.lastWords(ctx, st)
			return
		case <-ctx.Done():
			l.lastWords(ctx, st)
			return
		}
	}
}

// lastWords logs what a stream has said of its sidecar's life, and lets go of its chunks, until nothing is received any more.
func (l *line) lastWords(ctx context.Context, st *recordings.Stream) {
	for received := false; ; {
		select {
		case chunk := <-l.recorder.chunks:
			l.s.chunkBytes.Release(int64(len(chunk.GetData())))
			continue
		case beat := <-l.recorder.beats:
			l.beat(st, beat)
			continue
		default:
		}
		if received {
			break
		}
		select {
		case chunk := <-l.recorder.chunks:
			l.s.chunkBytes.Release(int64(len(chunk.GetData())))
		case beat := <-l.recorder.beats:
			l.beat(st, beat)
		case <-l.received:
			received = true
		}
	}
	if st != nil {
		l.flush(context.WithoutCancel(ctx), st)
		st.Leave()
	}
}

func (l *line) flush(ctx context.Context, st *recordings.Stream) {
	if st == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, keepTimeout)
	defer cancel()
	if err := st.Flush(ctx); err != nil && ctx.Err() == nil {
		l.s.metrics.recording.WithLabelValues("LogFailed").Inc()
		l.failed(err, "what a sidecar said could not be logged, and is tried again")
	}
}

// failed logs the store's trouble, not as often as sidecars meet it.
func (l *line) failed(err error, what string) {
	if l.s.storeTrouble.allow([32]byte{}, time.Now()) {
		l.s.o.Log.Error(err, what, "namespace", l.id.pod.Namespace, "pod", l.id.pod.Name)
	}
}

func (l *line) beat(st *recordings.Stream, h heard) {
	if st == nil {
		return
	}
	if err := st.BeatAt(recording.Signed{Statement: h.beat.GetStatement(), Signature: h.beat.GetSignature()}, h.at); err != nil {
		l.s.metrics.recording.WithLabelValues("BadHeartbeat").Inc()
	}
}

func (l *line) find(ctx context.Context, st *recordings.Stream, look look) {
	ctx, cancel := context.WithTimeout(ctx, keepTimeout)
	defer cancel()
	if err := st.Look(ctx, look.dataSource, look.session); err != nil && ctx.Err() == nil {
		l.failed(err, "a recording could not be looked up")
	}
}

// record takes a chunk in. No answer means that the sidecar is to try again later.
func (l *line) record(ctx context.Context, st *recordings.Stream, chunk *sidecarv1alpha1.RecordingChunk) *sidecarv1alpha1.RecordingAck {
	ack := &sidecarv1alpha1.RecordingAck{Id: clip(chunk.GetId(), 128), Segment: chunk.GetSegment()}
	reject := func(reason string) *sidecarv1alpha1.RecordingAck {
		l.s.metrics.recording.WithLabelValues(reason).Inc()
		ack.Rejected = reason
		return ack
	}
	known := false
	for _, name := range l.id.injected {
		known = known || name.String() == chunk.GetDataSource()
	}
	switch {
	case st == nil:
		return reject("NotKept")
	case !known:
		return reject("DataSource")
	}
	ctx, cancel := context.WithTimeout(ctx, keepTimeout)
	defer cancel()
	got, err := st.Append(ctx, recordings.Chunk{
		ID: chunk.GetId(), DataSource: chunk.GetDataSource(), Segment: chunk.GetSegment(), Offset: chunk.GetOffset(), Data: chunk.GetData(),
		Complete: chunk.GetComplete(), SHA256: chunk.GetSha256(),
	})
	switch {
	case err != nil:
		l.s.metrics.recording.WithLabelValues("Failed").Inc()
		l.failed(err, "a segment could not be kept: its sidecar keeps it, and sends it again")
		return nil
	case got.Rejected != "":
		return reject(got.Rejected)
	case got.Complete:
		l.s.metrics.recording.WithLabelValues("Complete").Inc()
	}
	ack.Size, ack.Complete = got.Size, got.Complete
	return ack
}
