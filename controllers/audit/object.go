package audit

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/tidewaiter/tidewaiter/controllers/audit/wire"
	"github.com/tidewaiter/tidewaiter/recording"
	"github.com/tidewaiter/tidewaiter/recording/store"
)

// parameters reads the query. What is not known is refused: a misspelled parameter must not change what is answered.
func parameters(r *http.Request, known ...string) (map[string]string, *wire.Refusal) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, badName("the query cannot be read", "write it as name=value&name=value, percent-encoded")
	}
	out := map[string]string{}
	for _, name := range known {
		if v := values[name]; len(v) > 1 {
			return nil, badName(name+" is there more than once", "give it once")
		} else if len(v) == 1 {
			out[name] = v[0]
		}
		delete(values, name)
	}
	if len(values) > 0 {
		return nil, badName("a parameter is unknown", "there are "+joined(known))
	}
	return out, nil
}

func joined(words []string) string {
	var out []byte
	for i, w := range words {
		if i > 0 {
			out = append(out, ", "...)
		}
		out = append(out, w...)
	}
	return string(out)
}

// object answers with one object.
func (s *Server) object(x *exchange) *wire.Refusal {
	query, refusal := parameters(x.r, "name", "stored")
	if refusal != nil {
		return refusal
	}
	if v := query["stored"]; v != "" && v != "0" && v != "1" {
		return badName("stored is neither 0 nor 1", "1 gives the bytes as they are stored")
	}
	o, refusal := parseObject(query["name"])
	if refusal != nil {
		return refusal
	}
	stored := query["stored"] == "1"
	x.kind = o.kind
	x.about = append(x.about, "object", o.name, "namespace", o.session.Namespace, "pod", o.session.UID, "session", o.session.ID, "stored", stored)
	if refusal := s.rights.need(x.r.Context(), x.user, o.need()); refusal != nil {
		return refusal
	}
	if o.kind == kindSegment && !stored {
		return s.sealed(x, o)
	}
	in, err := s.o.Source.Open(x.r.Context(), o.name)
	if err != nil {
		return s.failed(x, err)
	}
	defer in.Close()
	x.w.Header().Set("Content-Type", "application/octet-stream")
	if _, err := io.Copy(x, in); err != nil {
		return s.failed(x, err)
	}
	return nil
}

// maxStored bounds a segment as it is stored, in bytes: the most that ReadSegment takes.
const maxStored = recording.SegmentHeader + recording.MaxHead + 64 + 2*recording.MaxSegment

// sealed answers with a segment as its sidecar sealed it. It is held in memory: what does not decrypt to what was signed is not sent.
func (s *Server) sealed(x *exchange, o *object) *wire.Refusal {
	ctx := x.r.Context()
	select {
	case s.decrypting <- struct{}{}:
		defer func() { <-s.decrypting }()
	case <-ctx.Done():
		return refuse(http.StatusTooManyRequests, wire.ReasonTooMany, "too many segments are being decrypted: try again")
	}
	in, err := s.o.Source.Open(ctx, o.name)
	if err != nil {
		return s.failed(x, err)
	}
	defer in.Close()
	segment, err := recording.ReadSegment(io.LimitReader(in, maxStored))
	if err != nil {
		return s.damaged(x, err)
	}
	sealed, refusal := s.open(x, o, segment)
	if refusal != nil {
		return refusal
	}
	out := sealed.Append(nil)
	x.w.Header().Set("Content-Type", "application/octet-stream")
	x.w.Header().Set("Content-Length", strconv.Itoa(len(out)))
	if _, err := io.Copy(x, bytes.NewReader(out)); err != nil {
		return s.failed(x, err)
	}
	return nil
}

func (s *Server) open(x *exchange, o *object, segment *recording.Segment) (*recording.Segment, *wire.Refusal) {
	if segment.Kind != recording.BodyEncrypted {
		sealed, err := segment.Sealed(nil)
		if err != nil {
			return nil, s.damaged(x, err)
		}
		return sealed, nil
	}
	key, err := s.o.Source.Identity(x.r.Context(), o.session)
	if err != nil {
		return nil, s.failed(x, err)
	}
	sealed, err := segment.Sealed(key)
	if err != nil {
		return nil, s.damaged(x, err)
	}
	return sealed, nil
}

// failed is what an error of the store, or of the way to the caller, means to the caller. The log has its text.
func (s *Server) failed(x *exchange, err error) *wire.Refusal {
	if !errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrErased) && x.r.Context().Err() == nil {
		s.o.Log.Error(err, "reading the store of recordings", x.about...)
	}
	return ofStore(err)
}

// damaged is for a segment that is there and is not what was sealed.
func (s *Server) damaged(x *exchange, err error) *wire.Refusal {
	if x.r.Context().Err() != nil {
		return ofStore(x.r.Context().Err())
	}
	s.o.Log.Error(err, "a stored segment cannot be given as it was sealed", x.about...)
	return refuse(http.StatusUnprocessableEntity, wire.ReasonNotSegment,
		"the object is not the segment that was sealed: it is damaged, was changed, or its key is another; stored=1 gives its bytes, and kubectl tidewaiter verify says what is wrong")
}
