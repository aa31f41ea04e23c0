// Package postgres is the PostgreSQL engine: it accepts clients, opens
// connections to the server with the credential that only the proxy has, asks
// for every statement, and relays through the state machine of package core.
//
// It acts only through package session: it must not know how policy is written,
// how recordings look, where credentials come from, or any other protocol.
package postgres
