//go:build !linux

package main

// hideMemory has nothing to ask of other systems; see docs/local.md for what that means.
func hideMemory() {}
