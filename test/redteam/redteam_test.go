package main

import (
	"io"
	"os"
	"path/filepath"
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

// The second corpus was written by somebody who had not seen how the first is understood: 600 rows of the same classes. All of it is
// `make redteam ARGS='-corpus test/redteam/testdata/second'`.
func TestASampleOfTheSecondCorpusLeaksNothing(t *testing.T) {
	leaks, err := redteam(t.Context(), options{corpus: filepath.Join("testdata", "second"), mutations: 1, every: 5, seed: 1, limit: time.Minute}, os.Stdout)
	if err != nil {
		t.Fatal(err)
	}
	if leaks > 0 {
		t.Errorf("%d leaks; want none: the statements are above", leaks)
	}
}

func TestAServerWithoutAProxyLeaksInEveryDress(t *testing.T) {
	judge, err := newJudge(t.Context(), options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := judge.Close(); err != nil {
			t.Error(err)
		}
	})
	direct, proxy := judge.URLs()
	o := options{direct: direct, proxy: direct, only: "X087,X113", mutations: 12, seed: 1, limit: time.Minute}
	// What tells no value even then: a plan, a number of rows, hashes and characters of more than the value.
	const atLeast = 16
	leaks, err := redteam(t.Context(), o, io.Discard)
	if err != nil || leaks < atLeast {
		t.Errorf("%d leaks (%v); want %d or more, of 26", leaks, err, atLeast)
	}
	o.proxy = proxy
	if leaks, err := redteam(t.Context(), o, os.Stdout); err != nil || leaks > 0 {
		t.Errorf("the same through the proxy: %d leaks (%v)", leaks, err)
	}
}

func TestFlagsThatChooseNothingAreAnError(t *testing.T) {
	for name, o := range map[string]options{
		"no such row":     {only: "X000"},
		"no such folder":  {corpus: t.TempDir()},
		"half a pair":     {proxy: "postgres://127.0.0.1"},
		"the other half":  {direct: "postgres://127.0.0.1"},
		"a proxy of none": {direct: "postgres://127.0.0.1:1/x", proxy: "postgres://127.0.0.1:1/x"},
	} {
		if _, err := redteam(t.Context(), o, io.Discard); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
