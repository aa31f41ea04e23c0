package audit

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"github.com/tidewaiter/tidewaiter/recording"
	"github.com/tidewaiter/tidewaiter/recording/store"
)

// ErrNoOperatorKey is returned where files are signed, and the operator's key to verify them by is not given.
var ErrNoOperatorKey = errors.New("the operator's public key is needed to verify signed recordings")

// File is a recording, or segments of one or more, in one file.
type File struct {
	Name string
	Open func() (io.ReadCloser, error)
}

// fileLogged is a segment of a file, which the log should know.
type fileLogged map[[sha256.Size]byte]where

// VerifyFiles checks files by themselves, without a store or a log: shape, signatures, attestations, chains and records. What is
// missing as a whole cannot show. Options need Operator alone; with a Source and a LogKey the segments must be in the log too, and
// the sessions are verified there as well. It returns what Verify returns.
func VerifyFiles(ctx context.Context, o Options, files []File) (Summary, []byte, error) {
	alone := o
	alone.Source, alone.LogKey, alone.Views, alone.Scope = nil, "", nil, Scope{}
	v := newVerifier(alone)
	heads := fileLogged{}
	for _, f := range files {
		if err := ctx.Err(); err != nil {
			return v.summary, nil, err
		}
		if err := v.file(f, heads); err != nil {
			return v.summary, nil, err
		}
	}
	for _, s := range v.live {
		v.skip(s)
		v.wholeFile(s)
	}
	if o.Source == nil || len(heads) == 0 {
		return v.summary, nil, nil
	}
	o.Scope = Scope{Sessions: sessionsOf(heads)}
	logged, raw, err := verifyLog(ctx, o, heads)
	return merge(v.summary, logged), raw, err
}

func sessionsOf(heads fileLogged) (out []string) {
	seen := map[string]bool{}
	for _, w := range heads {
		if !seen[w.session] {
			seen[w.session] = true
			out = append(out, w.session)
		}
	}
	return out
}

// merge adds what was found in files to what was found in the log.
func merge(files, log Summary) Summary {
	log.Tampered, log.Incomplete, log.Notes = log.Tampered+files.Tampered, log.Incomplete+files.Incomplete, log.Notes+files.Notes
	log.Sessions, log.Segments, log.Records = max(log.Sessions, files.Sessions), max(log.Segments, files.Segments), max(log.Records, files.Records)
	return log
}

// file reads one file: of version 1, or segments.
func (v *verifier) file(f File, heads fileLogged) error {
	r, err := f.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	in := bufio.NewReaderSize(r, 64<<10)
	magic, err := in.Peek(8)
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: %w", f.Name, err)
	}
	w := where{object: f.Name}
	switch {
	case len(magic) == 0:
		v.add(w.finding(Torn, "the file is empty"))
		return nil
	case bytes.HasPrefix(magic, []byte("\x89TWS")):
		return v.segments(in, w, heads)
	default:
		return v.journal(in, w)
	}
}

// journal verifies a file of version 1, which nobody has signed.
func (v *verifier) journal(in io.Reader, w where) error {
	report, err := recording.Verify(in)
	if broken := (*recording.BrokenError)(nil); err != nil && !errors.As(err, &broken) {
		return fmt.Errorf("%s: %w", w.object, err)
	}
	v.count(func(s *Summary) { s.Sessions, s.Records = s.Sessions+1, s.Records+report.Records })
	switch report.State {
	case recording.Complete:
	case recording.Unfinished:
		code := Unfinished
		if report.Torn > 0 {
			code = Torn
		}
		v.add(w.finding(code, "%s", report))
	default:
		f := w.finding(RecordChanged, "%s", report)
		if report.Broken != nil {
			f.Record = report.Broken.Seq
		}
		v.add(f)
		return nil
	}
	v.add(w.finding(Unsigned, "the file is not signed: its chain is right, which whoever made the file anew could have made so; its last hash is %s", report.Head))
	return nil
}

// segments verifies segments, one after the other.
func (v *verifier) segments(in *bufio.Reader, w where, heads fileLogged) error {
	if len(v.Operator) != ed25519.PublicKeySize {
		return fmt.Errorf("%s: %w", w.object, ErrNoOperatorKey)
	}
	for n := 1; ; n++ {
		seg, err := recording.ReadSegment(in)
		switch {
		case errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
			return nil
		case errors.Is(err, io.ErrUnexpectedEOF):
			v.add(w.finding(Torn, "the file ends within its %s segment", ordinal(uint64(n))))
			return nil
		case err != nil:
			v.add(w.finding(SegmentBroken, "the %s segment of the file: %v", ordinal(uint64(n)), err))
			return nil
		}
		v.fileSegment(seg, w, heads)
	}
}

// fileSegment checks one segment of a file.
func (v *verifier) fileSegment(seg *recording.Segment, w where, heads fileLogged) {
	w.session, w.segment = seg.Head.Session, seg.Head.Segment
	h, att, ok := v.signedHead(w, &seg.Signed)
	if !ok {
		return
	}
	name := store.Session{Namespace: att.Namespace, UID: att.UID, ID: h.Session}
	p := v.pods[att.Namespace+"/"+att.UID]
	if p == nil {
		p = &pod{namespace: att.Namespace, name: att.Pod, uid: att.UID}
		v.pods[att.Namespace+"/"+att.UID] = p
	}
	w.pod = p.String()
	if v.keyOf(p, &att, w) == nil {
		return
	}
	heads[sha256.Sum256(seg.Signed.Statement)] = w
	s := v.session(fingerprintOf(name), name, p)
	if s == nil {
		return
	}
	if !s.counted {
		s.counted = true
		v.count(func(sum *Summary) { sum.Sessions++ })
	}
	v.count(func(sum *Summary) { sum.Segments, sum.Bytes = sum.Segments+1, sum.Bytes+int64(len(seg.Body)) })
	if h.Segment <= s.segment {
		v.add(w.finding(SegmentReused, "segment %d comes again, after segment %d", h.Segment, s.segment))
		return
	}
	v.take(s, &h, w)
	if seg.Kind == recording.BodyEncrypted {
		s.unread = true
		f := w.finding(ContentUnread, "the content is encrypted: by the file alone it cannot be compared with its head")
		f.Severity, f.Cause = Incomplete, "the file was copied out of the store; verify it there or through the operator"
		v.add(f)
		return
	}
	out := v.content(w, seg, nil)
	s.counts.add(out.counts)
	s.unread = s.unread || !out.read
}

// wholeFile says what is known of a session when all files have been read.
func (v *verifier) wholeFile(s *session) {
	w := where{pod: s.pod, session: s.name.ID, segment: s.segment}
	c := &s.counts
	switch {
	case s.end == recording.EndNone:
		f := w.finding(Unfinished, "the session has no end after record %d in these files", s.seq)
		f.Cause = "it went on when the file was copied, or not all of it was"
		v.add(f)
	case s.end == recording.EndComplete && !s.skipped && !s.unread && (c.claimedEvents != c.events || c.claimedSignatures != c.signatures):
		v.add(w.finding(EndMarkWrong, "the end mark counts %d events and %d signatures, but %d and %d are there", c.claimedEvents, c.claimedSignatures, c.events, c.signatures))
	}
}

// notLogged says which segments of files the log does not have.
func (v *verifier) notLogged() {
	for _, w := range v.heads {
		v.sink.add(w.finding(NotInLog, "the log has no leaf for this segment of the file"))
	}
}
