package main

import (
	"os"
	"testing"
	"time"
)

// The full run is `make redteam`; this is a sample of it, another one than the corpus's own tests.
func TestASampleOfTheCorpusLeaksInNoDress(t *testing.T) {
	leaks, err := redteam(t.Context(), options{mutations: 3, every: 8, seed: 1, limit: time.Minute}, os.Stdout)
	if err != nil {
		t.Fatal(err)
	}
	if leaks > 0 {
		t.Errorf("%d leaks; want none: the statements are above", leaks)
	}
}
