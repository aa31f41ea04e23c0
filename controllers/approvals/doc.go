// Package approvals is the desk at which sidecars ask people: it makes AccessRequests of what they ask, says what became of
// them, and lends what was approved for longer than one statement. Every replica has one, over the same objects: what one
// replica has begun, another goes on with.
//
// A desk remembers nothing that is not in an AccessRequest, but for who waits here and whose turn it is. It must not know how
// decisions are weighed, nor how a stream is spoken over.
package approvals
