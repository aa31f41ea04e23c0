// Package sidecarv1alpha1 is what operator and sidecars say to each other, generated from sidecar.proto, which documents
// every message. The two meet here and nowhere else.
//
// It must not know the Kubernetes API, policy or any protocol of a data source.
package sidecarv1alpha1
