package tap

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/jackc/pgx/v5/pgproto3"
)

// Answer is what became of one simple query.
type Answer struct {
	Query string
	// Code, Message and Detail are those of the ErrorResponse; Code is empty if there was none.
	Code, Message, Detail string
	// Rows are the DataRows that came.
	Rows int
}

// maxFrame bounds what one message may make the tap keep.
const maxFrame = 256 << 20

// conversation follows one connection whose client speaks the simple protocol: both sides' messages, and which answer belongs to
// which query. Its two halves may be called from two goroutines.
type conversation struct {
	onAnswer func(Answer)

	mu      sync.Mutex
	waiting []Answer // begun, in their order
	client  frames
	server  frames
	decoder *pgproto3.Frontend
	decoded bytes.Buffer
	ready   bool // the startup is over
	quit    bool // the client has said Terminate
	columns int  // of the result whose rows may follow; -1 outside of one
	done    bool // the query has been answered: nothing but ReadyForQuery or a further result may come
}

func newConversation(onAnswer func(Answer)) *conversation {
	c := &conversation{onAnswer: onAnswer, columns: -1, client: frames{untyped: true}}
	c.decoder = pgproto3.NewFrontend(&c.decoded, io.Discard)
	return c
}

// frames cuts a stream into messages (PostgreSQL documentation, "Message Formats").
type frames struct {
	pending []byte
	untyped bool // the next message is a startup packet: without a type
}

var errFrame = errors.New("a message of an impossible length")

// next takes a whole message off the stream; nil if there is none yet. What it returns is valid until the next write.
func (f *frames) next() ([]byte, error) {
	header := 5
	if f.untyped {
		header = 4
	}
	if len(f.pending) < header {
		return nil, nil
	}
	length := int(binary.BigEndian.Uint32(f.pending[header-4:])) + header - 4
	if length < header || length > maxFrame {
		return nil, fmt.Errorf("%w: %d bytes, type %q", errFrame, length, f.pending[0])
	}
	if len(f.pending) < length {
		return nil, nil
	}
	message := f.pending[:length]
	f.pending = f.pending[length:]
	return message, nil
}

func (f *frames) write(piece []byte) { f.pending = append(f.pending, piece...) }

// fromClient looks at what the client sent, before it is forwarded.
func (c *conversation) fromClient(piece []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.client.write(piece)
	for {
		message, err := c.client.next()
		if err != nil || message == nil {
			return err
		}
		switch {
		case c.client.untyped:
			// An SSLRequest or GSSENCRequest is answered by one byte without a length, which the relay's clients do not ask for.
			if version := binary.BigEndian.Uint32(message[4:]); version != pgproto3.ProtocolVersionNumber {
				return fmt.Errorf("the client begins with %d; want protocol 3.0 without encryption", version)
			}
			c.client.untyped = false
		case message[0] == 'Q':
			c.waiting = append(c.waiting, Answer{Query: string(bytes.TrimSuffix(message[5:], []byte{0}))})
		case message[0] == 'X':
			c.quit = true
		case message[0] == 'p': // an answer to the server's question for a password
		default:
			return fmt.Errorf("the client sent a %q, which the tap does not follow", message[0])
		}
	}
}

// fromServer looks at what the client is about to receive.
func (c *conversation) fromServer(piece []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.server.write(piece)
	for {
		message, err := c.server.next()
		if err != nil || message == nil {
			return err
		}
		c.decoded.Write(message)
		decoded, err := c.decoder.Receive()
		if err != nil {
			return fmt.Errorf("message %q of %d bytes: %w", message[0], len(message), err)
		}
		if err := c.message(decoded); err != nil {
			return err
		}
	}
}

// errStep says that the server sent what nobody can have asked for.
var errStep = errors.New("out of step")

func (c *conversation) message(message pgproto3.BackendMessage) error {
	switch message.(type) {
	case *pgproto3.ParameterStatus, *pgproto3.NoticeResponse, *pgproto3.NotificationResponse:
		return nil
	}
	if !c.ready {
		_, c.ready = message.(*pgproto3.ReadyForQuery)
		return nil
	}
	if len(c.waiting) == 0 {
		if e, ok := message.(*pgproto3.ErrorResponse); ok && (e.Severity == "FATAL" || e.Code == "57P01") {
			return nil // the end of the connection, which may come at any time
		}
		return fmt.Errorf("%w: %T without a query", errStep, message)
	}
	return c.answer(&c.waiting[0], message)
}

// answer follows the answer to a query: results one after the other, or an error, and ReadyForQuery.
func (c *conversation) answer(a *Answer, message pgproto3.BackendMessage) error {
	switch m := message.(type) {
	case *pgproto3.RowDescription:
		if c.columns >= 0 || a.Code != "" {
			return fmt.Errorf("%w: RowDescription inside a result or after an error", errStep)
		}
		c.columns = len(m.Fields)
	case *pgproto3.DataRow:
		if c.columns != len(m.Values) {
			return fmt.Errorf("%w: a DataRow of %d values in a result of %d columns", errStep, len(m.Values), c.columns)
		}
		a.Rows++
	case *pgproto3.CommandComplete, *pgproto3.EmptyQueryResponse:
		if a.Code != "" {
			return fmt.Errorf("%w: %T after an error", errStep, m)
		}
		c.columns, c.done = -1, true
	case *pgproto3.ErrorResponse:
		if a.Code != "" {
			return fmt.Errorf("%w: a second error %s after %s", errStep, m.Code, a.Code)
		}
		a.Code, a.Message, a.Detail = m.Code, m.Message, m.Detail
		c.columns, c.done = -1, true
	case *pgproto3.ReadyForQuery:
		if !c.done || c.columns >= 0 {
			return fmt.Errorf("%w: ReadyForQuery before the query was answered", errStep)
		}
		finished := *a
		c.waiting, c.done = c.waiting[1:], false
		c.onAnswer(finished)
	default:
		return fmt.Errorf("%w: %T in answer to a simple query", errStep, m)
	}
	return nil
}

// current is the query whose answer is coming, and whether the client has ended the conversation itself.
func (c *conversation) current() (query string, quit bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.waiting) > 0 {
		query = c.waiting[0].Query
	}
	return query, c.quit
}
