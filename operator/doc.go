// Package operator wires the operator: one manager with a cache that holds no Secret, the authority, the admission webhook
// and the server for sidecars on every replica, and on the leader the controllers that write status.
//
// It only connects parts and must not decide anything about pods, policies or data; nothing but the command and tests may
// import it.
package operator
