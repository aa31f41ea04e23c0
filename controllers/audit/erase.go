package audit

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"
	"unicode"

	"github.com/tidewaiter/tidewaiter/controllers/audit/wire"
	"github.com/tidewaiter/tidewaiter/recording/store"
)

// Bounds of a request to erase.
const (
	maxErasure = 8 << 10 // bytes
	maxReason  = 1024    // bytes
)

// erase deletes a session's key. It cannot be undone.
func (s *Server) erase(x *exchange) *wire.Refusal {
	x.kind = kindErase
	if _, refusal := parameters(x.r); refusal != nil {
		return refusal
	}
	body := http.NewResponseController(x.w)
	_ = body.SetReadDeadline(time.Now().Add(headerTimeout)) // the connection can be given one
	e, refusal := readErasure(x.r.Body)
	_ = body.SetReadDeadline(time.Time{}) // or the wait for the end of the connection would end the request
	if refusal != nil {
		return refusal
	}
	session := store.Session{Namespace: e.Namespace, UID: e.UID, ID: e.Session}
	if refusal := s.known(x, session, verbErase); refusal != nil {
		return refusal
	}
	x.about = append(x.about, "reason", e.Reason)
	if s.o.Eraser == nil {
		return refuse(http.StatusNotImplemented, wire.ReasonNoErasure, "this operator cannot erase: its recordings are not encrypted")
	}
	by := x.user.Username
	if id := x.user.credential(); id != "" {
		by += " (" + id + ")" // by which the API server's audit log says who asked for the token
	}
	if err := s.o.Eraser.Erase(x.r.Context(), session, by, e.Reason); err != nil {
		if errors.Is(err, store.ErrErased) {
			return refuse(http.StatusGone, wire.ReasonErased, "the session was erased before")
		}
		return s.failed(x, err)
	}
	x.begun = true
	answer(x.w, http.StatusOK, wire.Key{Erased: true})
	return nil
}

// readErasure reads and judges the request's body.
func readErasure(body io.Reader) (e wire.Erasure, _ *wire.Refusal) {
	const form = `send {"namespace": …, "uid": …, "session": …, "reason": …}`
	d := json.NewDecoder(io.LimitReader(body, maxErasure))
	d.DisallowUnknownFields()
	if err := d.Decode(&e); err != nil {
		return e, badName("the body is not what is to be erased", form)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return e, badName("something follows what is to be erased", form)
	}
	e.Reason = strings.TrimSpace(e.Reason)
	switch {
	case e.Reason == "":
		return e, badName("reason is empty", "say why: it is what remains of the session's content")
	case len(e.Reason) > maxReason:
		return e, badName("reason is longer than 1024 bytes", "shorten it")
	case strings.ContainsFunc(e.Reason, unicode.IsControl):
		return e, badName("reason has characters that do not print", "write it on one line")
	}
	return e, nil
}
