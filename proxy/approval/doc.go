// Package approval keeps what waits for people: it is the sidecar's side of
// ADR 0016. A Broker is the Approver of every data source of a pod. It asks over
// whatever stream to the operator there is (an Asker), keeps holds over the loss of
// one, and keeps the grants that answers bring for as long as somebody could take
// them back.
//
// It must not know how the operator is reached, how a statement reads, or how a
// client is told.
package approval
