package ship

import (
	"crypto/sha256"
	"encoding"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"time"
)

// progress is how far a recording has arrived. It is only the sidecar's own idea: each acknowledgement corrects it.
type progress struct {
	size     uint64    // that the operator has
	rejected string    // why the operator does not want it; it stays, and takes room until somebody has looked
	again    time.Time // when it is offered again

	sum    hash.Hash // of the first summed bytes
	summed uint64
	freed  uint64 // bytes at the beginning that are not in the file any more
}

func newProgress() *progress { return &progress{sum: sha256.New()} }

// sumTo adds the file's bytes up to n to the digest.
func (p *progress) sumTo(in io.ReaderAt, n uint64) error {
	if n <= p.summed {
		return nil
	}
	_, err := io.Copy(p.sum, io.NewSectionReader(in, int64(p.summed), int64(n-p.summed)))
	if err == nil {
		p.summed = n
	}
	return err
}

const (
	block = 4 << 10 // what disks give room back in, in bytes
	// leastRelease is how much of a file is worth giving back.
	leastRelease = 64 << 10
	// marks is what a file is called, beside a recording, that says what was given back of it.
	marks = ".freed"
	// maxMarks bounds such a file, in bytes.
	maxMarks = 1 << 10
)

// release gives back the room of what the operator has of a recording that still grows, once the spool is half full. A
// session may last for weeks, and must not fill the spool with what has long arrived.
func (s *Spool) release(in io.ReaderAt, f spooledFile, p *progress) error {
	upTo := p.size - p.size%block
	if s.used.Load() < s.opt.Limit/2 || upTo < p.freed+leastRelease {
		return nil
	}
	if err := p.sumTo(in, upTo); err != nil { // while it is still there
		return fmt.Errorf("ship: %s: %w", f.path, err)
	}
	if err := p.write(f.path, upTo); err != nil {
		return fmt.Errorf("ship: %w", err)
	}
	if err := punch(f.path, int64(p.freed), int64(upTo-p.freed)); err != nil {
		return fmt.Errorf("ship: giving room back of %s: %w", f.path, err)
	}
	n := upTo - p.freed
	p.freed = upTo
	s.free(int64(n))
	return nil
}

// write keeps what is needed to go on after a restart: up to where the file is given back, and the digest so far.
func (p *progress) write(path string, freed uint64) error {
	m, ok := p.sum.(encoding.BinaryMarshaler)
	if !ok {
		return errors.New("a digest that cannot be kept")
	}
	state, err := m.MarshalBinary()
	if err != nil {
		return err
	}
	b := binary.BigEndian.AppendUint64(nil, freed)
	b = binary.BigEndian.AppendUint64(b, p.summed)
	if err := os.WriteFile(path+marks+".new", append(b, state...), 0o600); err != nil {
		return err
	}
	return os.Rename(path+marks+".new", path+marks)
}

// read returns the progress of a recording that an earlier process has left.
func read(path string) (*progress, error) {
	p := newProgress()
	info, err := os.Stat(path + marks)
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	if err != nil {
		return nil, err
	}
	if info.Size() < 16 || info.Size() > maxMarks {
		return nil, fmt.Errorf("%s is not what it should be", path+marks)
	}
	b, err := os.ReadFile(path + marks)
	if err != nil {
		return nil, err
	}
	u, ok := p.sum.(encoding.BinaryUnmarshaler)
	if !ok || len(b) < 16 {
		return nil, fmt.Errorf("%s is not what it should be", path+marks)
	}
	if err := u.UnmarshalBinary(b[16:]); err != nil {
		return nil, fmt.Errorf("%s: %w", path+marks, err)
	}
	p.freed, p.summed = binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])
	p.size = p.freed // which the operator has at least
	return p, nil
}

// remove deletes a recording with what was kept of it.
func remove(path string) error {
	if err := os.Remove(path + marks); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Remove(path)
}
