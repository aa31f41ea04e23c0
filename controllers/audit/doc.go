// Package audit lets auditors read recordings through the operator, without a credential of the bucket and without its keys: an
// HTTPS server on every replica, which asks the API server whose token it is shown, and whether that user may.
//
//	GET  /v1/object?name=…                     one object; a segment as its sidecar sealed it, which is decrypted
//	GET  /v1/object?name=…&stored=1            the object's very bytes
//	GET  /v1/list?prefix=…&after=…&namespace=… names, as JSON lines; the last says whether there is more
//	GET  /v1/key?namespace=…&uid=…&session=…   whether the session was erased
//	POST /v1/erase                             {"namespace","uid","session","reason"}
//
// A request goes through, in this order: caller.go (whose token is it), names.go (what is asked for), rights.go (may they), and
// object.go, list.go or erase.go. Nothing is served of the bucket but what names.go knows, and of its keys nothing at all.
//
// It must not know how a bucket or its keys are kept, nor sidecars, policies or what is in a recording.
package audit
