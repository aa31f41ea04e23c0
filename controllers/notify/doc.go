// Package notify tells people what becomes of AccessRequests: it posts a notice to each sink of a file, as a CloudEvent or
// for Slack or Microsoft Teams. It watches from the leader alone, and delivers at least once.
//
// It must not know how requests are decided, and can change nothing in the cluster: what is told is read from AccessRequests.
package notify
