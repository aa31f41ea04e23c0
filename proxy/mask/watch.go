package mask

import "bytes"

// CopyWatch looks for placeholders in the data that a client sends for COPY FROM. It reads what PostgreSQL's own output and its clients write; what is
// written otherwise, and rows that are too long to be kept, are looked at no further, since PostgreSQL reads more forms than it writes and a watch
// that misunderstands must not stop a load. It is not safe for concurrent use.
type CopyWatch struct {
	masker *CopyMasker
	buf    []byte
	found  int // column, from 1; 0: none
	lost   bool
}

// NewCopyWatch returns a watch for columns of which some (nil: not) have placeholders.
func NewCopyWatch(f CopyFormat, columns []*Recognizer) *CopyWatch {
	w := &CopyWatch{}
	maskers := make([]Masker, len(columns))
	for i, r := range columns {
		if r != nil {
			maskers[i] = &spy{w, r, i + 1}
		}
	}
	w.masker = NewCopyMasker(f, maskers)
	return w
}

// See takes the next piece of data and returns the index of a column in which a placeholder has been found, or -1.
func (w *CopyWatch) See(chunk []byte) int {
	return w.look(func() ([]byte, error) { return w.masker.Append(w.buf[:0], chunk) })
}

// End is See at the end of the data.
func (w *CopyWatch) End() int {
	return w.look(func() ([]byte, error) { return w.masker.Finish(w.buf[:0]) })
}

func (w *CopyWatch) look(read func() ([]byte, error)) int {
	if !w.lost && w.found == 0 {
		out, err := read()
		w.buf, w.lost = emptied(out), err != nil
	}
	return w.found - 1
}

// spy is a masker that changes nothing that matters, since nobody sees what it makes.
type spy struct {
	watch  *CopyWatch
	of     *Recognizer
	column int
}

// Append takes note of a placeholder. A carriage return is the end of a line as some clients write it.
func (s *spy) Append(dst, value []byte, f Format) ([]byte, bool) {
	if f == Text {
		value = bytes.TrimSuffix(value, []byte("\r"))
	}
	if s.watch.found == 0 && s.of.Is(value, f) {
		s.watch.found = s.column
	}
	return dst, false
}
