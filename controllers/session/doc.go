// Package session writes Sessions: what each sidecar last said, for kubectl to
// show and for other controllers to conclude from. The replica that holds a
// sidecar's stream writes its Sessions (Writer); the leader ends and removes those
// that nobody writes any more (Reaper).
//
// What is written is bounded in every direction, because whoever can start pods or
// open connections could otherwise fill etcd: a Session is at most 4 KiB, written
// at changes of its state and otherwise at most once a minute, a namespace holds a
// bounded number, and all writes of a replica pass one breaker.
//
// It must not know streams, tokens or secrets: it is told states.
package session
