package phase

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// maxMessage bounds a condition's message and an event's note, in bytes: events take no more.
const maxMessage = 1024

// Step finds out about one condition of one object.
type Step struct {
	// Name of the step, an UpperCamelCase verb, such as Probe: it is the action of events.
	Name string
	// Condition that the outcome is about.
	Condition string
	// Needs are conditions, decided by earlier steps, without which the step is not run: its condition is Unknown then.
	Needs []string
	// Optional says that Ready does not need the condition.
	Optional bool
	// Run looks, decides and says. It may be called at any time, and again; it must stop when its context does.
	Run func(context.Context) Outcome
}

// Outcome is what a step has to say. The zero Outcome says that nothing is known.
type Outcome struct {
	status  metav1.ConditionStatus
	reason  string
	message string
	again   time.Duration
	err     error
}

// True says that the condition holds.
func True(reason, format string, args ...any) Outcome {
	return outcome(metav1.ConditionTrue, reason, format, args)
}

// False says that the condition does not hold. The message says what is wrong, with which object and field, and the cure.
func False(reason, format string, args ...any) Outcome {
	return outcome(metav1.ConditionFalse, reason, format, args)
}

// Unknown says that the condition cannot be told yet, and what it waits for.
func Unknown(reason, format string, args ...any) Outcome {
	return outcome(metav1.ConditionUnknown, reason, format, args)
}

// Retry says that the step could not look: what was known before stays, if it was known of the same generation, and the
// object is tried again with a growing delay. The error must hold no secret: it is logged and shown.
func Retry(err error) Outcome {
	return Outcome{err: err}
}

// Again asks for another look after a while even if nothing changes. Of several steps the earliest counts.
func (o Outcome) Again(after time.Duration) Outcome {
	o.again = after
	return o
}

func outcome(status metav1.ConditionStatus, reason, format string, args []any) Outcome {
	message := format
	if len(args) > 0 {
		message = fmt.Sprintf(format, args...)
	}
	return Outcome{status: status, reason: reason, message: shorten(message)}
}

// shorten cuts a text at a rune's boundary.
func shorten(text string) string {
	if len(text) <= maxMessage {
		return text
	}
	const tail = "…"
	at := maxMessage - len(tail)
	for at > 0 && text[at]&0xC0 == 0x80 {
		at--
	}
	return text[:at] + tail
}
