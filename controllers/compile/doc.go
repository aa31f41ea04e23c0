// Package compile turns a DataSource and the AccessPolicies that select a
// workload into a signed OPA bundle: the policy of exactly that workload, with the
// Rego library that interprets it. The same input gives the same bytes.
//
// It is pure. It must not know any client, network, file or clock: the time, the
// key and the objects are handed in. It does not know the sidecar that will load
// the bundle either; the bundle's format is all they share.
package compile
