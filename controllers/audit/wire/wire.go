// Package wire is what the operator's server for auditors and those who read through it say to each other: paths, answers, reasons.
//
// It knows the standard library alone, so that either side can be built without the other.
package wire

import "time"

// Audience that a reader's token has to be made for: tokens for the API server, or for anybody else, are not taken.
const Audience = "tidewaiter.dev/recordings"

// Where what is.
const (
	PathObject = "/v1/object" // GET name, stored: one object
	PathList   = "/v1/list"   // GET prefix, after, namespace, limit: Lines
	PathKey    = "/v1/key"    // GET namespace, uid, session: Key
	PathErase  = "/v1/erase"  // POST Erasure: Key
)

// PortName is the name of the server's port in the operator's pods and in its Service.
const PortName = "recordings"

// MaxPage is the most objects of one answer to PathList.
const MaxPage = 10_000

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

// Refusal is the answer to a request that is not fulfilled.
type Refusal struct {
	Status  int    `json:"-"`       // of HTTP
	Reason  string `json:"reason"`  // one of the Reasons
	Message string `json:"message"` // what is wrong, and what to do
}

// Error is the message.
func (r *Refusal) Error() string { return r.Message }

// Line is a line of a list: an object, or the last line.
type Line struct {
	Name string    `json:"name,omitempty"`
	Size int64     `json:"size,omitempty"` // as it is stored, in bytes
	Time time.Time `json:"time,omitzero"`  // of its last change
	// Next is, on the last line, what to give as after for more.
	Next string `json:"next,omitempty"`
	// End is true on the last line of the last page. A list whose last line has neither Next nor End was cut off.
	End bool `json:"end,omitempty"`
}

// Key says what has become of a session's key.
type Key struct {
	Erased bool `json:"erased"`
}

// Erasure asks to erase a session.
type Erasure struct {
	Namespace string `json:"namespace"`
	UID       string `json:"uid"` // of the pod
	Session   string `json:"session"`
	Reason    string `json:"reason"` // which is kept in the log over all sessions, for good
}
