// Package control is the sidecar's side of the stream to its operator: it proves who it is, keeps the snapshot and the lease
// that it is given, and reports.
//
// What is to be believed and what follows from it is decided without I/O: [Machine] for snapshots, leases and revocations,
// [Signer] for whose bundles are taken, [PartOf] for what a data source is told to be. [Client] is the I/O around them.
//
// It must not know how data sources are served: that is a [Fleet]'s. It writes nothing to disk, and no error of it holds a
// credential.
package control
