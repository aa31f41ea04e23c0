// Package authority is the operator's own certificate authority: the roots that
// sidecars and the API server trust, and the leaves that a replica shows them. The
// roots and a seed are in one Secret, so that all replicas speak with one voice;
// leaves are made and kept in the memory of each replica.
//
// A root is trusted some time before it signs, and for some time after: who trusts
// the bundle of a day ago still verifies today's leaves. Which root signs follows
// from the Secret and the clock alone, so replicas need not agree on anything.
//
// It must not know controllers, webhooks or sidecars, nor what the leaves are
// shown for. Private keys leave it only as a leaf that was asked for.
package authority
