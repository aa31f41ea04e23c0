package manifest_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/api/manifest"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// Each testdata/wrong/X.yaml is a file that somebody could have written; X.txt beside it is what they are told.
func TestAWrongManifestSaysWhereWhatAndTheCure(t *testing.T) {
	files, err := filepath.Glob("testdata/wrong/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no wrong manifests: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			set, err := manifest.Parse(filepath.Base(file), content)
			if err == nil {
				_, err = manifest.Check(set)
			}
			if err == nil {
				t.Fatal("was not refused")
			}
			compare(t, strings.TrimSuffix(file, ".yaml")+".txt", err.Error()+"\n")
		})
	}
}

// Every manifest under testdata/wrong writes its passwords as hunter2, in clear text or in base64.
func TestNoMessageRepeatsAPassword(t *testing.T) {
	files, err := filepath.Glob("testdata/wrong/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no messages: %v", err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{"hunter2", "aHVudGVyMg"} {
			if strings.Contains(string(content), secret) {
				t.Errorf("%s repeats %s", file, secret)
			}
		}
	}
}

// Whatever the file is, it is loaded or refused with a message; it never ends the program.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/wrong/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range append(files, "testdata/corpus.yaml") {
		content, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(content)
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		set, err := manifest.Parse("fuzz.yaml", content)
		if (set == nil) != (err != nil) {
			t.Fatalf("set %v with error %v", set, err)
		}
		if err != nil && strings.TrimSpace(err.Error()) == "" {
			t.Fatal("refused without a message")
		}
		if set != nil {
			_, _ = manifest.Check(set)
		}
	})
}

func compare(t *testing.T, golden, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatalf("%v; run the test with -update and read what it wrote", err)
	}
	if got != string(want) {
		t.Errorf("%s differs; run the test with -update if that is meant\ngot:\n%s\nwant:\n%s", golden, got, want)
	}
}
