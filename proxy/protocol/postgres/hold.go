package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/analysis"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/core"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/wire"
	"github.com/tidewaiter/tidewaiter/proxy/session"
)

const (
	// maxEarly bounds, in bytes, what is kept of a client while a statement of its is held.
	maxEarly = 64 << 10
	// hangUpEvery is how often a client that has sent more is looked at.
	hangUpEvery = 250 * time.Millisecond
)

// Why a statement is held no longer, besides an answer.
var (
	leftByClient = &access.Denial{Code: access.CodeCanceled, What: "tidewaiter: the client has gone"}
	userRequest  = &access.Denial{Code: access.CodeCanceled, What: "canceling statement due to user request"}
	serverGone   = &access.Denial{Code: access.CodeUnavailable, What: "tidewaiter: the server closed the connection"}
	sessionEnded = &access.Denial{Code: access.CodeUnavailable, What: "tidewaiter: the session has ended"}
	skipped      = &access.Denial{What: "tidewaiter: a statement before the one that was held has failed"}
	stopping     = &access.Denial{
		What: "tidewaiter: the proxy is stopping, so the statement that waited for approval was refused",
		Hint: "Connect again and run it again.",
	}
)

// hold waits for people. Meanwhile the client is read, so that it is noticed when it
// goes; what it sends is kept. An error is an *access.Denial.
func (r *relay) hold(ctx context.Context, h *session.Hold) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r.mu.Lock()
	r.held = cancel
	switch {
	case r.over:
		r.release(sessionEnded)
	case r.drain:
		r.release(stopping)
	case r.core.Skipping():
		r.release(skipped)
	}
	h.Operation().Held.InTransaction = r.core.InTransaction()
	err := r.core.Hold()
	r.mu.Unlock()
	if ferr := r.flush(); err == nil {
		err = ferr
	}
	if err != nil {
		cancel(sessionEnded) // it shows again when the answer is written
	}
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		r.listen(ctx, cancel)
	}()
	err = h.Wait(ctx)
	cancel(nil)
	r.stopListening(heard)
	return err
}

// release ends the wait for people, if there is one. It is called under mu.
func (r *relay) release(why *access.Denial) {
	if r.held != nil {
		r.held(why)
	}
}

// cancelHeld is a cancel request. Where the server is running something, that is what is
// to be canceled.
func (r *relay) cancelHeld() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.held == nil || r.core.Running() {
		return false
	}
	r.release(userRequest)
	return true
}

// listen reads the client while a statement is held. A client that says goodbye, or
// hangs up, does not wait any longer.
func (r *relay) listen(ctx context.Context, end context.CancelCauseFunc) {
	var seen frames
	if seen.goodbye(r.unread) || seen.goodbye(r.early) || r.earlyErr != nil {
		end(leftByClient)
		return
	}
	buf := make([]byte, 4<<10)
	for len(r.early) < maxEarly {
		n, err := r.client.Read(buf[:min(len(buf), maxEarly-len(r.early))])
		r.early = append(r.early, buf[:n]...)
		if seen.goodbye(buf[:n]) {
			end(leftByClient)
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return // stopListening, or the end of the session
		}
		if err != nil {
			r.earlyErr = err
			end(leftByClient)
			return
		}
	}
	for every := time.NewTicker(hangUpEvery); ; {
		select {
		case <-ctx.Done():
			every.Stop()
			return
		case <-every.C:
			if hungUp(r.client) {
				end(leftByClient)
			}
		}
	}
}

// stopListening ends listen, which may be reading. Who ends the session interrupts the
// client too, which must last.
func (r *relay) stopListening(heard <-chan struct{}) {
	r.mu.Lock()
	r.held = nil
	r.mu.Unlock()
	_ = r.client.SetReadDeadline(time.Unix(1, 0)) // fails on a closed connection, which cannot be read
	<-heard
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.over {
		_ = r.client.SetReadDeadline(time.Time{})
	}
}

// readClient reads what came early, and then the client.
func (r *relay) readClient(buf []byte) (int, error) {
	if len(r.early) > 0 {
		n := copy(buf, r.early)
		if r.early = r.early[n:]; len(r.early) == 0 {
			r.early = nil
		}
		return n, nil
	}
	if r.earlyErr != nil {
		return 0, r.earlyErr
	}
	return r.client.Read(buf)
}

// notice tells the client that its statement is held, as what, and who can do something.
func (r *relay) notice(n access.Notice) {
	if n.Refused {
		return // its error says so
	}
	e := &wire.Error{
		Severity: "NOTICE", Code: "00000",
		Message: fmt.Sprintf("tidewaiter: held for approval as %s (rule %s, until %s)", n.Request, n.Rules[0].Rule, n.Until.UTC().Format("15:04:05 UTC")),
		Hint:    n.Hint,
	}
	r.mu.Lock()
	r.core.Notice(e)
	r.mu.Unlock()
	r.cancels.Go(func() { _ = r.flushClient() }) // a client that does not read must not keep its request from ending
}

// frames finds the ends of a client's messages.
type frames struct {
	head [wire.HeaderSize]byte
	have int
	skip uint32
}

// goodbye takes the next bytes, and reports whether a Terminate has begun.
func (f *frames) goodbye(p []byte) bool {
	for len(p) > 0 {
		if f.skip > 0 {
			n := min(uint32(len(p)), f.skip)
			f.skip -= n
			p = p[n:]
			continue
		}
		f.head[f.have] = p[0]
		f.have++
		p = p[1:]
		if f.head[0] == 'X' {
			return true
		}
		if f.have == len(f.head) {
			f.have = 0
			f.skip = max(4, binary.BigEndian.Uint32(f.head[1:])) - 4
		}
	}
	return false
}

// refuseHeld refuses a statement that was held, and then could not be read any more.
func refuseHeld(h *session.Hold, ans core.Answer) core.Answer {
	why := ans.Denial
	if why == nil {
		why = &access.Denial{What: "tidewaiter: the statement was approved, but cannot be understood any more, so it was refused"}
	}
	if ans.Error != nil {
		why = &access.Denial{Code: access.CodeUnreadable, What: ans.Error.Message}
	}
	why = h.Refused(why)
	if ans.Error != nil && why.Code != access.CodeUnavailable {
		return core.Answer{Error: ans.Error}
	}
	return core.Answer{Denial: why}
}

// describe says what people are shown of a statement, and what an approval is tied to.
func describe(a *core.Ask, r *reading) {
	held := &r.op.Held
	held.Summary = summary(r.op)
	behind, known := a.Uses()
	texts := append([]string{a.Text}, behind...)
	whole := sha256.New()
	var readable []string
	for _, text := range texts {
		short, ok := analysis.WithoutConstants(text)
		known = known && ok && short != ""
		readable = append(readable, short)
	}
	if !known {
		return
	}
	held.Text = strings.Join(readable, "\n-- runs: ")
	digest := sha256.Sum256([]byte(a.Text))
	if len(behind) > 0 {
		for _, text := range texts {
			_, _ = fmt.Fprintf(whole, "%d %s", len(text), text) // never fails, see hash.Hash
		}
		digest = [sha256.Size]byte(whole.Sum(nil))
	}
	if !a.Unbound() {
		held.Digest = digest[:]
	}
	if a.Bound != 0 {
		bound := sha256.Sum256(binary.BigEndian.AppendUint64([]byte("tidewaiter parameters "), a.Bound))
		held.Parameters = bound[:]
	}
	like := []any{readable, access.Unsized(r.op.Statements)}
	if constantsMatter(r.op) {
		like = append(like, digest[:], held.Parameters)
	}
	if facts, err := json.Marshal(like); err == nil {
		shape := sha256.Sum256(facts)
		held.Shape = shape[:]
	}
}

// constantsMatter reports whether another constant would make something else of the
// operation, so that nothing is like it but itself: the constant of COPY TO PROGRAM is a
// program, of DO a script, of a file's reader its path. Only of plain statements, whose
// features are about quantity, are constants no more than values.
func constantsMatter(op *access.Operation) bool {
	for i := range op.Statements {
		for _, f := range op.Statements[i].Features {
			switch f.Name {
			case analysis.BulkSelect, analysis.UnboundedUpdate, analysis.UnboundedDelete:
			default:
				return true
			}
		}
	}
	return false
}

// summary words an operation as its client would.
func summary(op *access.Operation) string {
	if len(op.Statements) != 1 || len(op.Statements[0].Resources) == 0 {
		return session.Summary(op)
	}
	st := &op.Statements[0]
	table := st.Resources[0].Schema + "." + st.Resources[0].Name
	for _, f := range st.Features {
		if f.Name == "Program" {
			return f.Construct
		}
	}
	switch st.Kind {
	case analysis.KindCopyOut:
		return "COPY " + table + " TO STDOUT"
	case analysis.KindCopyIn:
		return "COPY " + table + " FROM STDIN"
	}
	return session.Summary(op)
}
