package ledger

import (
	"crypto/rand"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func TestACheckpointIsOfItsLogAndSignedByIt(t *testing.T) {
	pair := func(name string) (note.Signer, note.Verifier) {
		secret, public, err := note.GenerateKey(rand.Reader, name)
		if err != nil {
			t.Fatal(err)
		}
		signer, err := note.NewSigner(secret)
		if err != nil {
			t.Fatal(err)
		}
		verifier, err := NewVerifier(public + "\n")
		if err != nil {
			t.Fatal(err)
		}
		return signer, verifier
	}
	const name = "tidewaiter.dev/log/x"
	signer, key := pair(name)
	other, otherKey := pair(name)
	tree := tlog.Tree{N: 7, Hash: tlog.RecordHash([]byte("x"))}
	good, err := Sign(name, tree, signer)
	if err != nil {
		t.Fatal(err)
	}
	if c, err := ParseCheckpoint(good, name, key); err != nil || c.Tree != tree || len(c.Witnesses) > 0 {
		t.Fatalf("%+v %v", c, err)
	}
	signed := func(text string, by note.Signer) []byte {
		b, err := note.Sign(&note.Note{Text: text}, by)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	text, _, _ := strings.Cut(string(good), "\n\n")
	text += "\n"
	for what, bad := range map[string][]byte{
		"another size":       []byte(strings.Replace(string(good), "\n7\n", "\n8\n", 1)),
		"another key":        signed(text, other),
		"another log":        signed(strings.Replace(text, "/x", "/y", 1), signer),
		"a zero before":      signed(strings.Replace(text, "\n7\n", "\n07\n", 1), signer),
		"a short root":       signed(name+"\n7\nAAAA\n", signer),
		"one line more":      signed(text+"more\n", signer),
		"more than there is": signed(strings.Replace(text, "\n7\n", "\n18446744073709551615\n", 1), signer),
		"nothing":            nil,
		"too much":           append(good, make([]byte, MaxCheckpoint)...),
	} {
		if _, err := ParseCheckpoint(bad, name, key); err == nil {
			t.Errorf("%s: believed", what)
		}
	}
	// A witness's signature alone is none of the log's.
	if _, err := ParseCheckpoint(signed(text, other), name, key, otherKey); err == nil {
		t.Error("a checkpoint that only a witness has signed is believed")
	}
}

func TestALeafHasWhatBelongsToItsKindAndNothingElse(t *testing.T) {
	pod := Pod{Namespace: "data", UID: "u"}
	good := Leaf{Kind: KindGone, Pod: pod, Gone: "Deleted"}
	if err := good.Check(); err != nil {
		t.Error(err)
	}
	for what, l := range map[string]Leaf{
		"no kind": {Pod: pod, Gone: "x"}, "no member": {Kind: KindSealed, Pod: pod}, "another member": {Kind: KindRemoved, Pod: pod, Gone: "x", Ended: &Ended{}},
		"no pod": {Kind: KindGone, Gone: "x"}, "an id that is none": {Kind: KindGone, Pod: pod, Gone: "x", ID: "../../x"},
	} {
		if l.Check() == nil {
			t.Errorf("%s: taken", what)
		}
	}
}
