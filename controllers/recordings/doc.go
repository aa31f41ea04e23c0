// Package recordings keeps the recordings that sidecars ship, in a folder: a
// folder for each namespace, in it one for each pod's UID, in it the files. What is
// not complete yet is in a folder named .partial beside them.
//
// A sidecar is believed in nothing: names are checked and opened below the folder
// only, sizes are bounded for file, pod and store, and a file counts as complete
// when its digest is what the sidecar said.
//
// It must not know streams or pods' objects, nor what is in a recording; package
// recording verifies those.
package recordings
