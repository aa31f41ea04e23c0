// Package tap stands between a PostgreSQL client and a proxy as a plain relay of bytes and looks at what goes by: whether any
// byte that the client receives belongs to a secret, in any of the usual dresses, and whether the conversation stays in step,
// message by message and query by query.
//
// It must not import a package of the product: a decoder shared with the proxy would share its mistakes.
package tap
