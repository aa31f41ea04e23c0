// Package distribute is the server that sidecars connect to: it finds out which pod
// is at the other end, sends it what that pod may use and nothing else, keeps its
// lease while that is so, cuts it off when it is not, and takes in what it reports
// and records.
//
// A stream goes through, in this order: token.go (whose token is it), identity.go (is
// that pod ours), plan.go (what may it use), part.go (what does that look like),
// conversation.go (what was said, and what is in force). Which streams a change
// concerns is known to hub.go, and found out by events.go.
//
// It must not know the sidecar's code, the webhook, or how a policy decides. A
// sidecar is believed only as far as its token goes. Credentials pass through memory
// here and are in no log, error, metric or status.
package distribute
