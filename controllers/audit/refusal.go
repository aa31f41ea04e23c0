package audit

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"github.com/tidewaiter/tidewaiter/recording/store"
)

// Reasons of refusals, in answers, metrics and log lines.
const (
	ReasonTokenMissing   = "TokenMissing"
	ReasonTokenMalformed = "TokenMalformed"
	ReasonTokenAudience  = "TokenAudience"
	ReasonTokenExpired   = "TokenExpired"
	ReasonTokenRejected  = "TokenRejected"
	ReasonForbidden      = "Forbidden"
	ReasonBadRequest     = "BadRequest"
	ReasonNotFound       = "NotFound"
	ReasonErased         = "Erased"
	ReasonNotSegment     = "NotASegment"
	ReasonTooMany        = "TooManyRequests"
	ReasonMethod         = "MethodNotAllowed"
	ReasonNoErasure      = "NoErasure"
	ReasonUnavailable    = "Unavailable" // the API server or the store did not answer
	ReasonStopping       = "Stopping"
)

// Refusal is the answer to a request that is not fulfilled, as JSON.
type Refusal struct {
	Status  int    `json:"-"`       // of HTTP
	Reason  string `json:"reason"`  // one of the Reasons
	Message string `json:"message"` // what is wrong, and what to do
}

// Error is the message.
func (r *Refusal) Error() string { return r.Message }

func refuse(status int, reason, message string) *Refusal {
	return &Refusal{Status: status, Reason: reason, Message: message}
}

// write sends the refusal. Who should come again is told when.
func (r *Refusal) write(w http.ResponseWriter) {
	h := w.Header()
	switch r.Status {
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", `Bearer realm="tidewaiter", error="invalid_token"`)
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		h.Set("Retry-After", strconv.Itoa(retryAfter))
	}
	answer(w, r.Status, r)
}

// retryAfter is in seconds.
const retryAfter = 1

// answer sends a small JSON document. Who does not take it has gone.
func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

// ofStore says what an error of the store means to who asked. Its text stays here: it may name buckets and accounts.
func ofStore(err error) *Refusal {
	switch {
	case errors.Is(err, store.ErrNotFound):
		return refuse(http.StatusNotFound, ReasonNotFound, "there is no such object: it was never stored, or its retention has ended")
	case errors.Is(err, store.ErrErased):
		return refuse(http.StatusGone, ReasonErased, "the session was erased: its key is gone, and nobody can read its content any more; "+
			"heads, signatures and digests still verify, by stored=1")
	case errors.Is(err, context.DeadlineExceeded):
		return refuse(http.StatusServiceUnavailable, ReasonUnavailable, "the store of recordings did not answer in time: try again")
	default:
		return refuse(http.StatusServiceUnavailable, ReasonUnavailable, "the store of recordings cannot be read: the operator's log says why")
	}
}
