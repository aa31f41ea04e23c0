package recording

import (
	"crypto/sha256"
	"io"
	"math"
	"strconv"
	"time"

	"github.com/tidewaiter/tidewaiter/proxy/access"
)

// Encoder turns the events of one session into the bytes of a recording, and
// keeps sequence number and chain. Its methods append to a buffer and allocate
// only where that must grow, so that whoever writes can gather many records
// before it touches a disk. Start one with Begin. It is not safe for concurrent
// use.
type Encoder struct {
	seq    uint64
	events int64
	last   int64 // nanoseconds since 1970, of the last record
	head   Hash
}

// Begin appends the header of a recording to dst, and returns the encoder of
// what follows.
func Begin(dst []byte) (Encoder, []byte) {
	h := header()
	return Encoder{head: genesis, last: math.MinInt64}, append(dst, h[:]...)
}

// Records returns how many records have been encoded, which is also the last
// sequence number.
func (c *Encoder) Records() uint64 { return c.seq }

// Head returns the chain's last hash. Kept elsewhere, it proves that a recording
// is the one that was written.
func (c *Encoder) Head() Hash { return c.head }

// Event appends e as a record to dst. On an error, which is ErrTooLarge or that e
// has no time, dst is returned as it was and the chain stays where it is. Bytes
// that are not UTF-8 become U+FFFD, as JSON demands. A time before that of the last
// record becomes that of the last record: a clock that was set back must not make
// a recording that no reader believes.
func (c *Encoder) Event(dst []byte, e *access.Event) ([]byte, error) {
	if e.Time.IsZero() {
		return dst, errNoTime
	}
	start := len(dst)
	payload, err := appendEvent(c.reserve(dst), e)
	if err != nil {
		return dst, err
	}
	if len(payload)-start-recordHeader > MaxPayload {
		return dst, ErrTooLarge
	}
	c.events++
	return c.seal(payload, start, typeEvent, e.Time), nil
}

// End appends the end mark, which says how much there was, so that a recording
// that was cut off at the end of a record does not pass for a whole one.
func (c *Encoder) End(dst []byte, now time.Time) []byte {
	start := len(dst)
	dst = append(c.reserve(dst), `{"events":`...)
	dst = strconv.AppendInt(dst, c.events, 10)
	dst = append(dst, `,"signatures":0}`...)
	return c.seal(dst, start, typeEnd, now)
}

// reserve leaves room for the record's header, which seal writes.
func (c *Encoder) reserve(dst []byte) []byte {
	var room [recordHeader]byte
	return append(dst, room[:]...)
}

// seal completes the record that begins at start and links it into the chain.
func (c *Encoder) seal(dst []byte, start int, kind byte, t time.Time) []byte {
	c.seq++
	c.last = max(c.last, t.UnixNano())
	f := frame{length: uint32(len(dst) - start - recordHeader), kind: kind, seq: c.seq, nanos: c.last, previous: c.head}
	f.put(dst[start:])
	c.head = sha256.Sum256(dst[start:])
	return append(dst, c.head[:]...)
}

// Writer writes a recording to an io.Writer, one Write per record. It is the
// simple way, for tests and tools; proxy/record gathers records and makes them
// durable. It is not safe for concurrent use.
type Writer struct {
	w   io.Writer
	enc Encoder
	buf []byte
	err error
}

// NewWriter returns a Writer to w. The header is written with the first record.
func NewWriter(w io.Writer) *Writer {
	enc, buf := Begin(nil)
	return &Writer{w: w, enc: enc, buf: buf}
}

// Append writes e. After an error every later call returns it too: a recording
// has no holes.
func (w *Writer) Append(e access.Event) error {
	if w.err != nil {
		return w.err
	}
	if w.buf, w.err = w.enc.Event(w.buf, &e); w.err != nil {
		return w.err
	}
	return w.flush()
}

// Head returns the chain's last hash.
func (w *Writer) Head() Hash { return w.enc.Head() }

// Sync makes what was written durable where the underlying writer can, as an
// *os.File does.
func (w *Writer) Sync() error {
	if f, ok := w.w.(interface{ Sync() error }); ok && w.err == nil {
		w.err = f.Sync()
	}
	return w.err
}

// Close writes the end mark. Later calls to Append return io.ErrClosedPipe. The
// underlying writer stays open.
func (w *Writer) Close() error {
	if w.err != nil {
		return w.err
	}
	w.buf = w.enc.End(w.buf, time.Now())
	err := w.flush()
	if err == nil {
		w.err = io.ErrClosedPipe
	}
	return err
}

func (w *Writer) flush() error {
	_, w.err = w.w.Write(w.buf)
	w.buf = w.buf[:0]
	return w.err
}
