// Package wire reads and writes messages of the PostgreSQL protocol, versions 3.0
// and 3.2 (PostgreSQL documentation, "Message Formats"). It allocates nothing for
// what a peer claims, only for what has arrived.
//
// It must not know sessions, policy, statements or sockets.
package wire
