package ship

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/recording"
)

const (
	// sealMost is how many bytes of records make a segment, where there are that many; one record may be larger.
	sealMost = 2 << 20
	// sealLeast is how many are worth one when room is scarce.
	sealLeast = 64 << 10
	// A batch of segments is made durable together: of so many journals, and bytes.
	batchJournals, batchBytes = 64, 4 << 20
	// fullLook is how often all journals are looked at when room is scarce.
	fullLook = 50 * time.Millisecond
	// maxKept bounds the buffer that is kept from one segment to the next, in bytes.
	maxKept = 256 << 10
)

// cutOff is the reason of a session's end, where its recorder could not write one and everything else of it was sealed.
const cutOff = "the recording was cut off: what came after this is not recorded"

// sealer makes segments of journals. It is used by one goroutine.
type sealer struct {
	s        *Spool
	sealer   *recording.Sealer
	batch    []*sealed
	buf      []byte
	lastFull time.Time
}

// sealed is a segment that was sealed, and is not ready to be sent.
type sealed struct {
	j       *journal
	segment *segment
	bytes   []byte // nil: they are on disk
	serial  uint64
	sum     recording.Hash
	mark    mark // that holds with it
	over    bool // nobody writes to the journal any more
	last    bool // nothing of it is left
	broken  error
}

func newSealer(s *Spool) (*sealer, error) {
	inner, err := recording.NewSealer(s.key)
	return &sealer{s: s, sealer: inner}, err
}

// run seals until ctx ends. It begins once it is known what the operator says of the key: segments carry that.
func (l *sealer) run(ctx context.Context) {
	select {
	case <-ctx.Done():
		return
	case <-l.s.told:
	}
	every := time.NewTicker(l.s.opt.Every)
	defer every.Stop()
	said := ""
	for all := true; ; {
		err := l.round(ctx, all)
		if err == nil {
			said = ""
		} else if text := err.Error(); text != said { // not the same line each time
			l.s.opt.Log.Error("recordings cannot be sealed, and wait in the spool", "error", err)
			said = text
		}
		l.s.complain()
		select {
		case <-ctx.Done():
			return
		case <-every.C:
			all = true
		case <-l.s.due:
			all = l.s.scarce() && l.s.opt.Now().Sub(l.lastFull) >= fullLook
		}
	}
}

// round seals what is due: of journals that nobody writes to any more, and, where all is set, of those that grow.
func (l *sealer) round(ctx context.Context, all bool) error {
	var active []*journal
	l.s.mu.Lock()
	if all {
		for _, j := range l.s.active {
			active = append(active, j)
		}
		l.lastFull = l.s.opt.Now()
	}
	l.s.mu.Unlock()
	var failed error
	for ctx.Err() == nil {
		if err := l.commit(); err != nil { // of an earlier round, too: nothing is sealed beside it
			return err
		}
		again, err := l.gather(&active)
		failed = errors.Join(failed, err)
		if len(l.batch) == 0 || failed != nil {
			break
		}
		active = append(active, again...)
	}
	if cap(l.buf) > maxKept {
		l.buf = nil
	}
	return errors.Join(failed, l.commit())
}

// gather seals a batch. It returns the journals that grow and of which more is to be sealed. One that fails does not hold the
// others up, but a segment that cannot be written does.
func (l *sealer) gather(active *[]*journal) (again []*journal, failed error) {
	var back []*journal
	for bytes := 0; len(l.batch) < batchJournals && bytes < batchBytes; {
		j, over := l.take(active)
		if j == nil {
			break
		}
		made, err := l.make(j, over)
		if err != nil && over {
			back = append(back, j)
		}
		if err != nil && failed == nil {
			failed = err
		}
		if made == nil {
			continue
		}
		made.over, j.batched = over, true
		l.batch = append(l.batch, made)
		bytes += len(made.bytes)
		if err := l.write(made); err != nil {
			failed = err
			break
		}
		if !over && j.size-made.mark.Offset >= sealMost {
			again = append(again, j)
		}
	}
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	l.s.over = append(l.s.over, back...)
	return again, failed
}

// take returns the next journal to look at.
func (l *sealer) take(active *[]*journal) (j *journal, over bool) {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	for len(*active) > 0 {
		j, *active = (*active)[0], (*active)[1:]
		if l.s.active[j.path] == j {
			return j, false
		}
	}
	for i, j := range l.s.over {
		if !j.batched { // it may have ended after it was taken as one that grows
			l.s.over = slices.Delete(l.s.over, i, i+1)
			return j, true
		}
	}
	return nil, false
}

// make seals what is due of a journal. Without an error and without a segment, nothing was.
func (l *sealer) make(j *journal, over bool) (*sealed, error) {
	in, err := os.Open(j.path)
	if err != nil {
		return nil, fmt.Errorf("ship: %w", err)
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return nil, fmt.Errorf("ship: %w", err)
	}
	if j.size = info.Size(); !over && !l.isDue(j) {
		return nil, nil
	}
	if j.size < j.mark.Offset && j.mark.Segments > 0 {
		err := fmt.Errorf("ship: %s has %d bytes, and %d of it were sealed: it was cut", j.path, j.size, j.mark.Offset)
		return l.finish(j, over, piece{last: true, place: j.mark.Place, end: recording.EndCutOff, broken: err})
	}
	p, err := j.look(in, l.buf, over)
	if err != nil {
		return nil, err
	}
	if cap(p.records) > cap(l.buf) {
		l.buf = p.records[:0]
	}
	return l.finish(j, over, p)
}

// isDue reports whether something of a journal that grows is to be sealed.
func (l *sealer) isDue(j *journal) bool {
	now, n := l.s.opt.Now(), j.size-j.mark.Offset
	if n <= 0 {
		j.since = time.Time{}
		return false
	}
	if j.since.IsZero() {
		j.since = now
	}
	return n >= sealMost || now.Sub(j.since) >= l.s.opt.Age || n >= sealLeast && l.s.scarce()
}

// finish seals a piece of a journal.
func (l *sealer) finish(j *journal, over bool, p piece) (*sealed, error) {
	if p.broken != nil && !j.told {
		j.told = true
		l.s.opt.Log.Error("a journal is not what was written to it: from there on nothing of it is shipped", "dataSource", j.dataSource, "session", j.session, "error", p.broken)
	}
	if p.torn > 0 && p.last {
		l.s.opt.Log.Info("the last record of a journal is not whole, and is left out", "dataSource", j.dataSource, "session", j.session, "bytes", p.torn)
	}
	to, size := j.mark.To, len(p.records)
	if size == 0 {
		if !over {
			return nil, nil
		}
		if p.place.Seq == 0 { // it holds nothing that anybody was told of
			return &sealed{j: j, last: true, broken: p.broken}, nil
		}
		var err error
		if p.records, p.place, err = ending(p.place, later(l.s.opt.Now(), to)); err != nil {
			return nil, err
		}
	}
	att := l.s.Attestation()
	made, err := l.sealer.Seal(recording.Head{
		Session: j.session, DataSource: j.dataSource, Segment: j.mark.Segments + 1, Sealed: l.s.opt.Now(), End: p.end, Recovered: j.left, Attestation: att,
	}, p.records)
	if err != nil {
		return nil, fmt.Errorf("ship: %s: %w", j.path, err)
	}
	out := &sealed{j: j, last: p.last, broken: p.broken, bytes: made.Append(nil)}
	out.serial, out.sum = l.sealer.Serial()
	out.segment = &segment{number: made.Head.Segment, path: l.s.segmentPath(j.name, made.Head.Segment), size: int64(len(out.bytes))}
	out.mark = mark{
		Offset: j.mark.Offset + int64(size), Place: p.place, To: made.Head.To, Segments: made.Head.Segment, Freed: j.mark.Freed,
	}
	if upTo := out.mark.Offset - out.mark.Offset%block; upTo >= j.mark.Freed+leastRelease {
		out.mark.Freed = upTo
	}
	return out, nil
}

// ending is a record that says that a session's recording was cut off.
func ending(at recording.Place, t time.Time) ([]byte, recording.Place, error) {
	enc := recording.Continue(at)
	b, err := enc.Event(nil, &access.Event{Kind: access.EventClosed, Time: t, Closed: &access.Closed{Reason: cutOff}})
	return b, recording.Place{Seq: enc.Records(), Chain: enc.Head()}, err
}

func later(a, b time.Time) time.Time {
	if a.UnixNano() < b.UnixNano() {
		return b
	}
	return a
}

// write puts a segment on disk under its name.
func (l *sealer) write(m *sealed) error {
	if m.bytes == nil {
		return nil
	}
	if err := writeFile(m.segment.path, m.bytes); err != nil {
		return fmt.Errorf("ship: %w", err)
	}
	m.bytes = nil
	return nil
}

// commit makes the batch durable and hands it over to be sent. After an error it is called again, and goes on: what was
// sealed has a serial, and is never sealed again.
func (l *sealer) commit() error {
	if len(l.batch) == 0 {
		return nil
	}
	for _, m := range l.batch {
		if err := l.write(m); err != nil {
			return err
		}
	}
	if err := l.syncDirs(); err != nil {
		return err
	}
	for _, m := range l.batch {
		if err := m.settle(); err != nil {
			return fmt.Errorf("ship: %w", err)
		}
	}
	if err := l.syncDirs(); err != nil {
		return err
	}
	for _, m := range l.batch {
		l.publish(m)
	}
	l.batch = nil
	ask(l.s.ready)
	return nil
}

// settle writes down that a journal is sealed so far, or gives it up.
func (m *sealed) settle() error {
	var err error
	switch {
	case !m.last:
		return m.j.writeMark(m.mark)
	case m.broken != nil:
		err = os.Rename(m.j.path, m.j.path+asideExtension)
	default:
		err = os.Remove(m.j.path)
	}
	if errors.Is(err, fs.ErrNotExist) { // it was done before
		return nil
	}
	return err
}

func (l *sealer) syncDirs() error {
	done := map[string]bool{}
	for _, m := range l.batch {
		if done[m.j.dataSource] {
			continue
		}
		done[m.j.dataSource] = true
		if err := syncDir(m.j.path); err != nil {
			return fmt.Errorf("ship: %w", err)
		}
	}
	return nil
}

// publish hands a segment over to be sent. Its journal is no longer needed for what is in it.
func (l *sealer) publish(m *sealed) {
	s, j := l.s, m.j
	j.batched = false
	if m.segment != nil {
		s.used.Add(m.segment.size + perFile)
		s.mu.Lock()
		s.seal.serial, s.seal.sum = m.serial, m.sum
		s.push(j.name, m.segment)
		s.mu.Unlock()
	}
	switch {
	case m.last && m.broken != nil: // it stays, and takes room until somebody has looked
	case m.last:
		s.free(j.size - j.mark.Freed + perFile)
	case m.mark.Freed > j.mark.Freed:
		if err := punch(j.path, j.mark.Freed, m.mark.Freed-j.mark.Freed); err != nil {
			s.opt.Log.Debug("room of a journal could not be given back", "journal", j.path, "error", err)
			m.mark.Freed = j.mark.Freed
			break
		}
		s.free(m.mark.Freed - j.mark.Freed)
	}
	if m.last { // only now: a journal without its mark would be sealed from its beginning
		_ = os.Remove(j.path + markExtension) // what stays is deleted at the next start
		return
	}
	j.mark = m.mark
	j.since = time.Time{}
	if j.size > j.mark.Offset {
		j.since = s.opt.Now()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if m.over { // there is more of it
		s.over = append(s.over, j)
	}
}
