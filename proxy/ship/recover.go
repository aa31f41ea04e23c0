package ship

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/tidewaiter/tidewaiter/recording"
)

// remains is what an earlier process has left of a recording.
type remains struct {
	name
	journal  bool
	segments []*segment
}

// recover finds what an earlier process has left: segments, which are sent as they are, and journals of which a part may not be sealed.
// What cannot be understood is set aside and said; it takes room.
func (s *Spool) recover() error {
	all, err := s.list()
	if err != nil {
		return err
	}
	for _, r := range all {
		for _, g := range r.segments {
			s.used.Add(g.size + perFile)
			s.push(r.name, g)
		}
		if !r.journal {
			if err := s.discard(s.journalPath(r.name) + markExtension); err != nil { // its journal is sealed to its end
				return err
			}
			continue
		}
		if err := s.readopt(r); err != nil {
			return err
		}
	}
	return nil
}

// list goes through the folder, and deletes what was being written.
func (s *Spool) list() (map[name]*remains, error) {
	out := map[name]*remains{}
	err := filepath.WalkDir(s.opt.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		dir, err := filepath.Rel(s.opt.Dir, filepath.Dir(path))
		if err != nil {
			return err
		}
		n := name{dataSource: filepath.ToSlash(dir)}
		if strings.Count(n.dataSource, "/") != 1 {
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		of := func(session string) *remains {
			n.session = session
			if out[n] == nil {
				out[n] = &remains{name: n}
			}
			return out[n]
		}
		base := filepath.Base(path)
		if strings.HasSuffix(base, newExtension) {
			return os.Remove(path)
		}
		if strings.HasSuffix(base, asideExtension) {
			s.used.Add(info.Size() + perFile)
		} else if session, ok := strings.CutSuffix(base, recording.Extension); ok {
			of(session).journal = true
		} else if session, ok := strings.CutSuffix(base, recording.Extension+markExtension); ok {
			of(session)
		} else if session, number, ok := segmentOf(path); ok {
			r := of(session)
			r.segments = append(r.segments, &segment{number: number, path: path, size: info.Size()})
		}
		return nil
	})
	return out, err
}

// readopt takes over a journal. Segments beyond its mark were sealed when the process died: their heads say what is in them.
func (s *Spool) readopt(r *remains) error {
	j := &journal{name: r.name, path: s.journalPath(r.name), left: true}
	info, err := os.Stat(j.path)
	if err != nil {
		return err
	}
	j.size = info.Size()
	before := j.mark
	var ended bool
	if j.mark, err = readMark(j.path); err == nil {
		before = j.mark
		ended, err = s.beyond(j, r.segments)
	}
	if err != nil {
		s.used.Add(j.size + perFile)
		s.opt.Log.Error("a journal of an earlier process cannot be sealed any more, and is set aside", "dataSource", r.dataSource, "session", r.session, "error", err)
		return os.Rename(j.path, j.path+asideExtension)
	}
	if ended {
		return errors.Join(s.discard(j.path), syncDir(j.path), s.discard(j.path+markExtension))
	}
	if j.mark != before {
		if err := errors.Join(j.writeMark(j.mark), syncDir(j.path)); err != nil {
			return err
		}
	}
	if j.mark.Freed > 0 { // it may not have come to it
		if err := punch(j.path, 0, j.mark.Freed); err != nil {
			s.opt.Log.Debug("room of a journal could not be given back", "journal", j.path, "error", err)
		}
	}
	s.used.Add(j.size - j.mark.Freed + perFile)
	s.over = append(s.over, j)
	return nil
}

// beyond moves a journal's mark behind segments that it does not know of, and reports whether the session ends with them.
func (s *Spool) beyond(j *journal, segments []*segment) (ended bool, err error) {
	byNumber := map[uint64]*segment{}
	for _, g := range segments {
		byNumber[g.number] = g
	}
	for g := byNumber[j.mark.Segments+1]; g != nil && !ended; g = byNumber[j.mark.Segments+1] {
		h, err := headOf(g.path)
		if err != nil {
			return false, err
		}
		if h.Session != j.session || h.DataSource != j.dataSource || h.Segment != g.number || h.First != j.mark.Place.Seq+1 || h.Previous != j.mark.Place.Chain || h.Plain <= 0 {
			return false, fmt.Errorf("%s is not of the journal that it stands beside", g.path)
		}
		j.mark = mark{
			Offset: j.mark.Offset + h.Plain, Place: recording.Place{Seq: h.Last, Chain: h.Chain}, To: h.To, Segments: h.Segment, Freed: j.mark.Freed,
		}
		ended = h.End != recording.EndNone
	}
	return ended, nil
}

func headOf(path string) (*recording.Head, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	g, err := recording.ReadSegment(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &g.Head, nil
}

// discard deletes a file that may be gone already.
func (s *Spool) discard(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
