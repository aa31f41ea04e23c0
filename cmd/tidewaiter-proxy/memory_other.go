//go:build !linux

package main

// hideMemory does nothing: sidecars run on Linux.
func hideMemory() {}
