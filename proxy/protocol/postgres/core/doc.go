// Package core is the PostgreSQL protocol as a pure state machine: bytes of the
// client and of the server go in, bytes for the other side and questions come
// out. It opens no socket, starts no goroutine and reads no clock, so the same
// code is fuzzed, replayed, and driven by goroutines or by an event loop.
//
// Its heart is one ordered queue of expected answers for each connection. Every
// message that is forwarded pushes what the server owes for it; every message of
// the server advances the head; answers made here (a denial) wait in the same
// queue and leave only at its head, so that nothing overtakes what is in flight.
//
// It must not know sockets, how policy decides, or how recordings look: it acts
// through session.Exchange alone.
//
// Source: PostgreSQL documentation, "Frontend/Backend Protocol", and the
// behavior of PostgreSQL's own postgres.c where the documentation is silent.
package core
