// Package protocoltest is the suite that every protocol must pass: whatever can
// fail in the pipeline, nothing undecided reaches the server, a refusal is an
// ordinary answer that the connection survives, and nothing is left behind.
//
// It runs a line protocol of its own, toy_test.go, which proves that the pipeline
// and the suite know no particular protocol.
package protocoltest
