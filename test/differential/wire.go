package differential

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// patience is how long one conversation may take. One that takes longer has lost an answer.
const patience = 60 * time.Second

// maxFrame bounds what one message may make the reader allocate.
const maxFrame = 16 << 20

// frame is one message from the server.
type frame struct {
	kind byte
	body []byte
}

// answer is all that a client was sent in a conversation.
type answer struct {
	parameters map[string]string // reported at login
	frames     []frame
	end        string // how the conversation ended: "" as asked for
}

// hold has a conversation. A server that ends it early, or does not answer, is an answer too; the error is of the login.
func hold(ctx context.Context, target Target, steps []step) (answer, error) {
	conn, parameters, err := login(ctx, target)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = conn.Close() }() // everything has been read, or never will be
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return answer{}, err
	}
	got := answer{parameters: parameters}
	frames := make(chan frame, 1024)
	ended := make(chan error, 1)
	go func() {
		ended <- readFrames(conn, frames)
		close(frames)
	}()
	// The writer waits for what the reader sees, and the reader never waits for the writer: as with any careful client.
	seen := newWatch()
	go writeSteps(conn, steps, seen)
	for f := range frames {
		got.frames = append(got.frames, f)
		seen.add(f)
	}
	seen.finish()
	if err := <-ended; err != nil && !errors.Is(err, io.EOF) {
		got.end = describeEnd(err)
	}
	return got, nil
}

// describeEnd leaves out addresses, which differ.
func describeEnd(err error) string {
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return "no answer in " + patience.String()
	}
	return "the connection broke"
}

// login leaves the authentication to pgconn, and takes the bare connection.
func login(ctx context.Context, target Target) (net.Conn, map[string]string, error) {
	host, port, err := net.SplitHostPort(target.Address)
	if err != nil {
		return nil, nil, err
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, nil, err
	}
	config, err := pgconn.ParseConfig("sslmode=disable")
	if err != nil {
		return nil, nil, err
	}
	config.Host, config.Port, config.User, config.Password, config.Database = host, uint16(number), target.User, target.Password, target.Database
	config.RuntimeParams = map[string]string{"application_name": "differential"}
	conn, err := pgconn.ConnectConfig(ctx, config)
	if err != nil {
		return nil, nil, err
	}
	if err := conn.SyncConn(ctx); err != nil { // or a background reader could take what comes next
		return nil, nil, err
	}
	hijacked, err := conn.Hijack()
	if err != nil {
		return nil, nil, err
	}
	return hijacked.Conn, hijacked.ParameterStatuses, nil
}

func readFrames(conn net.Conn, frames chan<- frame) error {
	in := bufio.NewReader(conn)
	for {
		var header [5]byte
		if _, err := io.ReadFull(in, header[:]); err != nil {
			return err
		}
		length := binary.BigEndian.Uint32(header[1:])
		if length < 4 || length > maxFrame {
			return fmt.Errorf("a message %q of %d bytes", header[0], length)
		}
		body := make([]byte, length-4)
		if _, err := io.ReadFull(in, body); err != nil {
			return err
		}
		frames <- frame{kind: header[0], body: body}
	}
}

// message frames a message body with its type and length.
func message(kind byte, body ...[]byte) []byte {
	length := 4
	for _, part := range body {
		length += len(part)
	}
	out := binary.BigEndian.AppendUint32([]byte{kind}, uint32(length)) //nolint:gosec // ours are small
	for _, part := range body {
		out = append(out, part...)
	}
	return out
}

func cString(s string) []byte { return append([]byte(s), 0) }

func int16s(values ...int) []byte {
	var out []byte
	for _, value := range values {
		out = binary.BigEndian.AppendUint16(out, uint16(value)) //nolint:gosec // ours are small
	}
	return out
}

func int32Bytes(value int) []byte {
	return binary.BigEndian.AppendUint32(nil, uint32(int32(value))) //nolint:gosec // -1 is NULL
}

// Frontend messages (PostgreSQL documentation, "Message Formats").

func query(sql string) []byte { return message('Q', cString(sql)) }

func parse(name, sql string) []byte { return message('P', cString(name), cString(sql), int16s(0)) }

// bind gives parameters as text; resultFormats are 0 for text and 1 for binary.
func bind(portal, statement string, parameters []string, resultFormats ...int) []byte {
	body := append(append(append(cString(portal), cString(statement)...), int16s(0)...), int16s(len(parameters))...)
	for _, parameter := range parameters {
		body = append(append(body, int32Bytes(len(parameter))...), parameter...)
	}
	return message('B', body, int16s(len(resultFormats)), int16s(resultFormats...))
}

func parseTyped(name, sql string, types ...int) []byte {
	body := int16s(len(types))
	for _, oid := range types {
		body = append(body, int32Bytes(oid)...)
	}
	return message('P', cString(name), cString(sql), body)
}

// bindBinary gives parameters as they are; nil is NULL.
func bindBinary(portal, statement string, parameters [][]byte, resultFormats ...int) []byte {
	body := append(append(append(cString(portal), cString(statement)...), int16s(1, 1)...), int16s(len(parameters))...)
	for _, parameter := range parameters {
		if parameter == nil {
			body = append(body, int32Bytes(-1)...)
			continue
		}
		body = append(append(body, int32Bytes(len(parameter))...), parameter...)
	}
	return message('B', body, int16s(len(resultFormats)), int16s(resultFormats...))
}

func functionCall(oid uint32, arguments []string) []byte {
	body := append(binary.BigEndian.AppendUint32(nil, oid), int16s(0, len(arguments))...)
	for _, argument := range arguments {
		body = append(append(body, int32Bytes(len(argument))...), argument...)
	}
	return message('F', body, int16s(0))
}

func describe(what byte, name string) []byte { return message('D', []byte{what}, cString(name)) }

func closeObject(what byte, name string) []byte { return message('C', []byte{what}, cString(name)) }

func execute(portal string, rows int) []byte { return message('E', cString(portal), int32Bytes(rows)) }

func copyData(data string) []byte { return message('d', []byte(data)) }

func copyFail(why string) []byte { return message('f', cString(why)) }

var (
	syncMessage = message('S')
	flush       = message('H')
	copyDone    = message('c')
	terminate   = message('X')
)

// normalize replaces what cannot be the same in two sessions: the object ids of temporary tables in RowDescriptions, by numbers in the
// order of their appearance.
func normalize(frames []frame) []frame {
	const firstUserOID = 16384
	numbers := map[uint32]uint32{}
	var out []frame
	for _, f := range frames {
		if f.kind == 'T' {
			f.body = eachTableOID(f.body, func(oid uint32) uint32 {
				if oid < firstUserOID {
					return oid
				}
				if numbers[oid] == 0 {
					numbers[oid] = uint32(len(numbers) + 1) //nolint:gosec // few
				}
				return numbers[oid]
			})
		}
		out = append(out, f)
	}
	return out
}

// eachTableOID maps the table ids of a RowDescription: per field a name, the table's id, and 14 more bytes.
func eachTableOID(body []byte, change func(uint32) uint32) []byte {
	out := append([]byte{}, body...)
	for at := 2; at < len(out); {
		end := strings.IndexByte(string(out[at:]), 0)
		if end < 0 || at+end+1+18 > len(out) {
			return body // not a RowDescription: compared as it is
		}
		at += end + 1
		binary.BigEndian.PutUint32(out[at:], change(binary.BigEndian.Uint32(out[at:])))
		at += 18
	}
	return out
}
