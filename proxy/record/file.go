package record

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/recording"
)

// flushSize is how many bytes a flush gathers before it is worth a write.
const flushSize = 64 << 10

// file is the recording of one session. Append encodes into pending, under mu and
// without touching the disk; one goroutine, run, is the only one that writes.
//
// Group commit: while a sync is under way, everything appended gathers in
// pending and goes with the next one. Syncs of different sessions run at the same
// time, and the filesystem's journal commits them together.
type file struct {
	r    *Recorder
	path string
	out  sink
	kick chan struct{} // asks run to flush now
	late *time.Timer   // asks run to flush once Linger is over
	done chan struct{} // closed when run has ended

	mu       sync.Mutex
	moved    sync.Cond // written, durable or err has changed
	enc      recording.Encoder
	last     int64  // time of the last record, in nanoseconds of Unix time
	pending  []byte // encoded, not taken by run
	writing  int    // bytes that run has taken and not written
	awaited  uint64 // the last record that somebody wants durable
	durable  uint64 // the last record that is durable
	err      error  // sticky: the answer to every later Append
	lost     bool   // the file took something only in part: nothing more is written
	closing  bool
	closeErr error
}

func newFile(r *Recorder, path string, out sink) *file {
	f := &file{r: r, path: path, out: out, kick: make(chan struct{}, 1), late: time.NewTimer(time.Hour), done: make(chan struct{})}
	f.late.Stop()
	f.moved.L = &f.mu
	return f
}

// begin writes the header and the session's first event before run starts.
func (f *file) begin(o access.Opened) error {
	var buf []byte
	var err error
	f.enc, buf = recording.Begin(nil)
	if buf, err = f.enc.Event(buf, &access.Event{Kind: access.EventOpened, Time: f.inOrder(f.r.options.Now()), Opened: &o}); err != nil {
		return err
	}
	n, err := f.out.Write(buf)
	f.r.options.Wrote(n)
	if err != nil {
		return err
	}
	if f.r.options.Durability == Async {
		return nil
	}
	if err = f.out.Sync(); err != nil {
		return err
	}
	f.durable = f.enc.Records()
	return f.out.SyncName()
}

// Location returns the file's path.
func (f *file) Location() string { return f.path }

// Head returns the chain's last hash: that of the whole recording once Close has
// returned.
func (f *file) Head() recording.Hash {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.enc.Head()
}

// Append takes e. It returns when e is queued or, with durability Statement and
// for an intent record, when it is on disk. It waits while the queue is full. An
// error means that e may not be in the recording, and every later Append returns
// it too.
func (f *file) Append(e access.Event) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.room(); err != nil {
		return err
	}
	before := len(f.pending)
	if f.pending == nil {
		f.pending = buffers.get()
	}
	var err error
	e.Time = f.inOrder(e.Time)
	if f.pending, err = f.enc.Event(f.pending, &e); err != nil {
		f.refuse(err) // a recording has no holes; what came before is still written
		return f.err
	}
	f.r.memory.take(len(f.pending) - before)
	if e.Kind == access.EventDecided && f.r.options.Durability == Statement {
		return f.await(f.enc.Records())
	}
	switch {
	case len(f.pending) >= flushSize:
		f.wake()
	case before == 0:
		f.late.Reset(f.r.options.Linger)
	}
	return nil
}

// inOrder is the time of a record: never before that of the one before it, even where the clock was turned back meanwhile. An
// event without a time is none. f.mu is held.
func (f *file) inOrder(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	if t.UnixNano() < f.last { // what is written has no monotonic clock
		return time.Unix(0, f.last)
	}
	f.last = t.UnixNano()
	return t
}

// room waits until an event may be queued. f.mu is held, and let go meanwhile.
func (f *file) room() error {
	for {
		switch {
		case f.err != nil:
			return f.err
		case f.closing:
			return fmt.Errorf("record: %s: %w", f.path, os.ErrClosed)
		case len(f.pending)+f.writing >= f.r.options.Queue:
			f.wake()
			f.moved.Wait()
		case f.r.memory.full():
			f.wake()
			f.mu.Unlock()
			f.r.memory.wait()
			f.mu.Lock()
		default:
			return nil
		}
	}
}

// await waits until record number seq is durable. f.mu is held.
func (f *file) await(seq uint64) error {
	f.awaited = seq
	f.wake()
	for f.durable < seq && !f.lost {
		f.moved.Wait()
	}
	if f.durable >= seq {
		return nil
	}
	return f.err
}

func (f *file) wake() {
	select {
	case f.kick <- struct{}{}:
	default: // it has been asked already
	}
}

// refuse makes err the answer to every later Append. f.mu is held.
func (f *file) refuse(err error) {
	if f.err == nil {
		f.err = fmt.Errorf("record: %s: %w; nothing can be recorded in this session any more", f.path, err)
	}
	f.moved.Broadcast()
}

// lose gives up what has not been written, for nothing may follow a hole. f.mu is
// held.
func (f *file) lose(err error) {
	f.refuse(err)
	f.lost = true
	f.r.memory.give(len(f.pending))
	f.pending = nil
}

// Cut makes err the answer to every later Append: what is queued is still written, but no end mark.
func (f *file) Cut(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refuse(err)
}

// Close writes what is queued and the end mark, makes it durable, and ends the
// recording. It returns the first error that the recording met; without an end
// mark a recording is not taken for whole. Calls after the first return the same.
func (f *file) Close() error {
	f.mu.Lock()
	if !f.closing {
		f.closing = true
		if f.err == nil {
			before := len(f.pending)
			f.pending = f.enc.End(f.pending, f.inOrder(f.r.options.Now()))
			f.r.memory.take(len(f.pending) - before)
		}
		f.wake()
	}
	f.mu.Unlock()
	<-f.done
	return f.closeErr
}

// run flushes until the recording is closed.
func (f *file) run() {
	defer close(f.done)
	for more := true; more; more = f.flush() {
		select {
		case <-f.kick:
		case <-f.late.C:
		}
	}
	f.late.Stop()
	err := f.out.Close()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closeErr = errors.Join(f.err, err)
}

// flush writes what is pending and makes it durable where somebody waits for
// that. It reports whether more may come.
func (f *file) flush() bool {
	f.mu.Lock()
	buf, upTo, closing := f.pending, f.enc.Records(), f.closing
	durable := closing || f.awaited > f.durable
	f.pending, f.writing = nil, len(buf)
	lost := f.lost
	f.mu.Unlock()

	var err error
	if !lost {
		err = f.write(buf, durable)
	}

	f.mu.Lock()
	defer f.mu.Unlock()
	f.writing = 0
	f.r.memory.give(len(buf))
	buffers.put(buf)
	switch {
	case err != nil:
		f.lose(err)
	case durable && !lost:
		f.durable = upTo
	}
	f.moved.Broadcast()
	return !closing
}

func (f *file) write(buf []byte, durable bool) error {
	if len(buf) > 0 {
		n, err := f.out.Write(buf)
		f.r.options.Wrote(n)
		if err != nil {
			return err
		}
	}
	if !durable {
		return nil
	}
	f.r.syncs <- struct{}{}
	defer func() { <-f.r.syncs }()
	return f.out.Sync()
}
