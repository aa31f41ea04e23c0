//go:build !linux

package main

// hideMemory and forgetStart do nothing: sidecars run on Linux.
func hideMemory() {}

func forgetStart() {}
