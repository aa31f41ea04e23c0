package audit

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"github.com/tidewaiter/tidewaiter/controllers/audit/wire"
	"github.com/tidewaiter/tidewaiter/recording/store"
)

func refuse(status int, reason, message string) *wire.Refusal {
	return &wire.Refusal{Status: status, Reason: reason, Message: message}
}

// write sends a refusal. Who should come again is told when.
func write(w http.ResponseWriter, r *wire.Refusal) {
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
func ofStore(err error) *wire.Refusal {
	switch {
	case errors.Is(err, store.ErrErased): // before the other: a key that is not there at all is both
		return refuse(http.StatusGone, wire.ReasonErased, "the session was erased: its key is gone, and nobody can read its content any more; "+
			"heads, signatures and digests still verify, by stored=1")
	case errors.Is(err, store.ErrNotFound):
		return refuse(http.StatusNotFound, wire.ReasonNotFound, "there is no such object: it was never stored, or its retention has ended")
	case errors.Is(err, context.DeadlineExceeded):
		return refuse(http.StatusServiceUnavailable, wire.ReasonUnavailable, "the store of recordings did not answer in time: try again")
	default:
		return refuse(http.StatusServiceUnavailable, wire.ReasonUnavailable, "the store of recordings cannot be read: the operator's log says why")
	}
}
