package ship

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/tidewaiter/tidewaiter/recording"
)

const (
	// markExtension is what a file is called, beside a journal, that says how much of it is sealed.
	markExtension = ".mark"
	// asideExtension is what is appended to the name of a journal that was changed, and is kept for whoever looks into it.
	asideExtension = ".aside"
	// newExtension is what a file's name ends in while it is being written.
	newExtension = ".new"
	// maxMark bounds a mark, in bytes.
	maxMark = 1 << 10

	block = 4 << 10 // what disks give room back in, in bytes
	// leastRelease is how much of a journal is worth giving back, in bytes.
	leastRelease = 64 << 10
)

// mark is how far a journal is sealed. It is on disk before a segment is sent.
type mark struct {
	Offset   int64           `json:"offset"` // of the first byte that is not sealed
	Place    recording.Place `json:"place"`  // there
	To       time.Time       `json:"to"`     // of the record before
	Segments uint64          `json:"segments"`
	Freed    int64           `json:"freed"` // bytes at the beginning that are given back, or are about to be
}

// journal is a recording as it is being written. All but its name is of the goroutine that seals.
type journal struct {
	name
	path string
	left bool // by an earlier process
	told bool // that it is broken
	mark mark
	size int64 // when it was looked at
	// batched says that a segment of it is not durable yet: nothing more of it is sealed before.
	batched bool
	since   time.Time // since when something of it is not sealed
}

// piece is what can be sealed of a journal.
type piece struct {
	records []byte
	place   recording.Place // behind them
	end     recording.End   // of the session, with these records
	last    bool            // nothing of the journal is left to seal
	torn    int64           // bytes after the last whole record
	broken  error           // what follows is not what was written
}

// look finds what can be sealed of a journal. over says that nobody writes to it any more. What it returns is in buf, where
// that is large enough.
func (j *journal) look(in io.ReaderAt, buf []byte, over bool) (p piece, err error) {
	if j.mark.Segments == 0 {
		if p.broken, err = j.header(in); err != nil || p.broken != nil {
			p.last, p.place = over, j.mark.Place
			return p, err
		}
	}
	var ended bool
	p.records, p.place, ended, p.broken, err = j.whole(in, buf, sealMost)
	rest := j.size - j.mark.Offset - int64(len(p.records))
	switch {
	case err != nil:
		return p, err
	case ended:
		p.end, p.last, p.broken = recording.EndComplete, true, nil
		if rest > 0 {
			p.broken = errors.New("ship: something follows the end mark")
		}
		return p, nil
	case !over:
		if len(p.records) > 0 {
			p.broken = nil // it is found again
		}
		return p, nil
	}
	if rest > 0 {
		after := *j
		after.mark.Offset, after.mark.Place = j.size-rest, p.place
		more, _, _, broken, err := after.whole(in, nil, 1)
		if p.broken = broken; err != nil || len(more) > 0 {
			return p, err
		}
	}
	p.end, p.last, p.torn = recording.EndCutOff, true, max(rest, 0)
	if p.broken != nil && rest <= int64(2*recording.MaxRecord) {
		tail := make([]byte, rest)
		if _, err := in.ReadAt(tail, j.size-rest); err != nil {
			return p, fmt.Errorf("ship: %s: %w", j.path, err)
		}
		if recording.Torn(tail) {
			p.broken = nil
		}
	}
	return p, nil
}

// header checks the journal's header. One that is cut off has nothing behind it, which is no fault.
func (j *journal) header(in io.ReaderAt) (broken, err error) {
	if j.size < recording.HeaderSize {
		return nil, nil
	}
	var b [recording.HeaderSize]byte
	if _, err := in.ReadAt(b[:], 0); err != nil {
		return nil, fmt.Errorf("ship: %s: %w", j.path, err)
	}
	return recording.StartsWith(b[:]), nil
}

// whole reads whole records from what is sealed on: most bytes of them, but at least one. broken says why there are no more,
// where that is not their end.
func (j *journal) whole(in io.ReaderAt, buf []byte, most int) (records []byte, place recording.Place, ended bool, broken, err error) {
	rest := j.size - j.mark.Offset
	for _, size := range []int{max(most, block), recording.MaxRecord} {
		n := int(max(min(rest, int64(size)), 0))
		if cap(buf) < n {
			buf = make([]byte, n)
		}
		buf = buf[:n]
		if _, err = in.ReadAt(buf, j.mark.Offset); err != nil {
			return nil, place, false, nil, fmt.Errorf("ship: %s: %w", j.path, err)
		}
		n, place, ended, broken = j.mark.Place.Whole(buf, most)
		if records = buf[:n]; n > 0 || broken != nil || int64(len(buf)) >= rest {
			break
		}
	}
	return records, place, ended, broken, nil
}

// writeMark keeps a mark.
func (j *journal) writeMark(m mark) error {
	b, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("ship: %w", err)
	}
	return writeFile(j.path+markExtension, b)
}

// readMark returns the mark of a journal; without one nothing of it is sealed.
func readMark(path string) (mark, error) {
	m := mark{Offset: recording.HeaderSize, Place: recording.Start()}
	f, err := os.Open(path + markExtension)
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err != nil {
		return m, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxMark+1))
	if err == nil && len(b) > maxMark {
		err = errors.New("it is too large")
	}
	if err == nil {
		err = json.Unmarshal(b, &m)
	}
	if err == nil && (m.Offset < recording.HeaderSize || m.Freed < 0 || m.Freed > m.Offset || m.Segments == 0 || m.Place.Seq == 0) {
		err = errors.New("its numbers cannot be right")
	}
	if err != nil {
		return m, fmt.Errorf("%s is not what it should be: %w", path+markExtension, err)
	}
	return m, nil
}

// writeFile writes a file that is whole, and on stable storage, once it has its name. The name is not before syncDir.
func writeFile(path string, b []byte) error {
	f, err := os.OpenFile(path+newExtension, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(path+newExtension))
	}
	return os.Rename(path+newExtension, path)
}

// syncDir makes the names in the folder of path survive a loss of power.
func syncDir(path string) error {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
