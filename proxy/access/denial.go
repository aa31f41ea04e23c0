package access

import "errors"

// Denial is a refusal that a client can read. Every protocol renders it as an
// ordinary error of its own and survives it.
type Denial struct {
	// Code is the protocol-neutral class; the PostgreSQL engine maps it to a
	// SQLSTATE. The zero value is CodeForbidden.
	Code Code
	// What is one line: what was refused and by which rule.
	What string
	// Detail says why, Hint what to do next.
	Detail string
	Hint   string
	// Cause is the internal error, for operators' logs; clients never see it.
	Cause error
}

// Error returns the line that clients see.
func (d *Denial) Error() string { return d.What }

// Unwrap returns the internal cause.
func (d *Denial) Unwrap() error { return d.Cause }

// AsDenial turns any error into a denial: a *Denial is returned as it is, every
// other error becomes an internal refusal that tells the client nothing of it.
func AsDenial(err error) *Denial {
	var d *Denial
	if errors.As(err, &d) {
		return d
	}
	return &Denial{
		Code: CodeInternal, What: "tidewaiter: the statement could not be decided, so it was refused", Cause: err,
		Hint: "Try again; if it stays, ask the operator of Tidewaiter.",
	}
}

// Code classifies a denial.
type Code uint8

// The classes of denials.
const (
	CodeForbidden   Code = iota // policy says no
	CodeUnreadable              // the statement could not be understood
	CodeTooComplex              // above a bound of the analyzer
	CodeLimit                   // a row or byte limit was reached
	CodeUnavailable             // a component that must answer did not
	CodeInternal                // a defect or an unexpected failure
	CodeShutdown                // the proxy is draining
	CodeTooMany                 // connection or memory limit
	CodeCanceled                // the client withdrew
	CodeAbsent                  // it names what is not there, and policy says nothing against the rest
	CodeUnsupported             // a part of the protocol that is not served
	CodeNotNow                  // no new session at the moment; later there may be
)
