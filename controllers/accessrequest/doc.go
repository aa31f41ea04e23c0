// Package accessrequest weighs the decisions of people about AccessRequests, writes what became of them into their status,
// and removes those that have been over for a while.
//
// It knows the API's objects alone. It must not know sidecars or how they are spoken to: who waits, and what they are told,
// is for whoever made the request.
package accessrequest
