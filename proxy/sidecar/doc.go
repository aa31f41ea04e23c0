// Package sidecar is the proxy in a pod: it puts what the operator says (proxy/control) in force in what serves
// (proxy/datasource, proxy/server), and ships the recordings (proxy/ship). It is to a pod what package local is to a laptop.
//
// It must not know Kubernetes, manifests, flags, or what any protocol looks like.
package sidecar
