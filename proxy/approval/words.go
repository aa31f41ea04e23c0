package approval

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/session"
)

// requestName is "namespace/name" of the hold's request; empty while it has none.
func (h *hold) requestName() string {
	if h.name == "" {
		return ""
	}
	return nameIn(h.dataSource, h.name)
}

// nameIn is "namespace/name" of a request, which is in the data source's namespace.
func nameIn(dataSource, name string) string {
	namespace, _, _ := strings.Cut(dataSource, "/")
	return namespace + "/" + name
}

func plain(what string) string { return strings.TrimPrefix(what, "tidewaiter: ") }

// words is what a client is told of an outcome; nil of an approval.
func (b *Broker) words(h *hold, a access.Answered) error {
	d := &access.Denial{What: "tidewaiter: " + h.what, Detail: sentence(a.Reason) + "Nothing was sent to the server."}
	of := ""
	if a.Request != "" {
		of = " (" + a.Request + ")"
	}
	switch a.Outcome {
	case access.AnswerApproved:
		return nil
	case access.AnswerDenied:
		d.What += ", and was denied" + by(a.By) + of
		d.Detail = "Nothing was sent to the server."
		if a.Reason != "" { // somebody's own words stay as they are
			d.Detail = "The reason: " + strings.TrimRight(a.Reason, ". ") + ". " + d.Detail
		}
	case access.AnswerExpired:
		d.What += fmt.Sprintf(", and nobody answered in %s%s", h.until.Sub(h.begun).Round(time.Second), of)
		d.Detail = "Nothing was sent to the server."
	case access.AnswerWithdrawn:
		d.What += ", and the request was withdrawn" + of
	case access.AnswerPending:
		d.What += ", which is asked for" + of
		d.Detail = "Nothing was sent to the server. The same statement runs, once, when it is approved: send it again."
		if a.Request == "" {
			d.Detail = "It is not known yet as what: it waits for its turn, or for the operator of Tidewaiter. Nothing was sent to the server. Send the same statement again."
		} else {
			d.Hint = b.hint(a.Request)
		}
	default:
		d.What += ", and nobody could be asked" + of
	}
	if h.request.GetExceeded() != nil {
		d.Detail = strings.TrimSuffix(d.Detail, "Nothing was sent to the server.") +
			fmt.Sprintf("After %d rows, which have gone to the client, the result was stopped.", h.request.GetExceeded().GetRows())
	}
	return d
}

func by(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return " by " + strings.Join(names, ", ")
}

// sentence writes a reason as a sentence of its own.
func sentence(s string) string {
	s = strings.TrimRight(strings.TrimSpace(s), ".")
	first, size := utf8.DecodeRuneInString(s)
	if size == 0 {
		return ""
	}
	return string(unicode.ToUpper(first)) + s[size:] + ". "
}

func tooMany(q *session.Question) *access.Denial {
	d := unaskable(q, fmt.Sprintf("%d statements of this pod wait for approval already.", maxHolds))
	d.Hint = "Try again when some of them have been answered."
	return d
}

func tooManyOfOne(q *session.Question) *access.Denial {
	d := unaskable(q, fmt.Sprintf("This connection has %d requests that nobody has answered.", maxPerSession))
	d.Hint = "Try again when some of them have been answered."
	return d
}

func unaskable(q *session.Question, why string) *access.Denial {
	return &access.Denial{
		What: "tidewaiter: " + q.What + ", and nobody could be asked", Detail: why + " Nothing was sent to the server.",
		Hint: fmt.Sprintf("Ask the owner of DataSource %s.", q.DataSource),
	}
}
