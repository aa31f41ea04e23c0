// Package reader reads recordings through the operator: a store.Source over HTTPS, for commands that read sessions.
//
// The operator is reached through the API server, by a port-forward to one of its pods, or at a URL. It is verified by its own
// authority, whose certificates it publishes in its namespace. The caller's credential goes to the API server and to nobody else: what
// the operator is shown is a token of a service account, which the API server makes for ten minutes and for this purpose alone.
//
// It must not know commands, flags, or what is in a recording.
package reader
