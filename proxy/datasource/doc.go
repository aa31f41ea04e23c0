// Package datasource is one data source as a proxy serves it: the protocol, the dialer with its credential, the decider with
// its gate, and the pipeline that puts them together. All of it can change while connections are open.
//
// It must not know where its configuration comes from (manifests, an operator), how connections are accepted, or what any
// protocol looks like.
package datasource
