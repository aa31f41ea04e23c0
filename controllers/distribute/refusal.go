package distribute

import (
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Reasons why a stream is refused or ended, or a data source revoked. One name is
// shared by status message, Revocation, metric label, log line and Session.
// The reasons of package injection come on top.
const (
	// The token.
	ReasonTokenMissing   = "TokenMissing"
	ReasonTokenMalformed = "TokenMalformed"
	ReasonTokenExpired   = "TokenExpired"
	ReasonTokenAudience  = "TokenAudience"
	ReasonTokenNotBound  = "TokenNotBound"
	ReasonTokenRejected  = "TokenRejected"
	ReasonReviewFailed   = "TokenReviewFailed"
	ReasonTooManyTries   = "TooManyTries"
	// The pod.
	ReasonPodNotSeen     = "PodNotSeen"
	ReasonPodDeleted     = "PodDeleted"
	ReasonPodReplaced    = "PodReplaced"
	ReasonPodFinished    = "PodFinished"
	ReasonOtherPod       = "OtherPod"
	ReasonServiceAccount = "ServiceAccount"
	ReasonNotInjected    = "NotInjected"
	// The data source.
	ReasonDataSourceNotFound  = "DataSourceNotFound"
	ReasonDataSourceInvalid   = "DataSourceInvalid"
	ReasonNamespaceNotAllowed = "NamespaceNotAllowed"
	ReasonNotSelected         = "NotSelected"
	ReasonPolicyInvalid       = "PolicyInvalid"
	// The stream.
	ReasonProtocol   = "Protocol"
	ReasonTooMany    = "TooManyStreams"
	ReasonReplaced   = "ReplacedByNewStream"
	ReasonStreamAge  = "StreamAge"
	ReasonStopping   = "OperatorStopping"
	ReasonSlowReader = "SlowReader"
	ReasonInternal   = "Internal"
)

// refusal ends a stream, or keeps it from beginning.
type refusal struct {
	code    codes.Code
	reason  string
	message string // for the sidecar's log: what happened, and what cures it
}

func (r *refusal) Error() string { return r.reason + ": " + r.message }

// GRPCStatus is what grpc sends.
func (r *refusal) GRPCStatus() *status.Status { return status.New(r.code, r.Error()) }

func unauthenticated(reason, message string) *refusal {
	return &refusal{codes.Unauthenticated, reason, message}
}

func forbidden(reason, message string) *refusal {
	return &refusal{codes.PermissionDenied, reason, message}
}

func unavailable(reason, message string) *refusal {
	return &refusal{codes.Unavailable, reason, message}
}

func outOfTurn(message string) *refusal {
	return &refusal{codes.InvalidArgument, ReasonProtocol, message}
}

// reasonOf is the label of an error.
func reasonOf(err error) string {
	if r := (*refusal)(nil); errors.As(err, &r) {
		return r.reason
	}
	return ReasonInternal
}
