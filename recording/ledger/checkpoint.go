package ledger

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/transparency-dev/formats/log"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// MaxCheckpoint is the largest checkpoint that is read, in bytes: the log's signature and those of some witnesses.
const MaxCheckpoint = 64 << 10

// Origin is the first line of the checkpoints of a cluster's log, and the name of its key, unless the operator is told
// another: cluster is something that is the cluster's own, such as the UID of its namespace kube-system.
func Origin(cluster string) string { return "tidewaiter.dev/log/" + cluster }

// Checkpoint is what a log has signed of itself (C2SP tlog-checkpoint): so many leaves, and their root.
type Checkpoint struct {
	Origin string
	Tree   tlog.Tree // size and root
	// Signed is the note itself, with its signatures.
	Signed []byte
	// Witnesses are the names of those whose cosignatures are on it, of those that were asked about.
	Witnesses []string
}

// Sign makes the checkpoint of a tree.
func Sign(origin string, tree tlog.Tree, signer note.Signer) ([]byte, error) {
	text := log.Checkpoint{Origin: origin, Size: uint64(tree.N), Hash: tree.Hash[:]}.Marshal()
	return note.Sign(&note.Note{Text: string(text)}, signer)
}

// ParseCheckpoint reads a checkpoint, which must be of the origin and signed by the log. Signatures that are neither the
// log's nor a witness's are ignored.
func ParseCheckpoint(signed []byte, origin string, logKey note.Verifier, witnesses ...note.Verifier) (Checkpoint, error) {
	if len(signed) > MaxCheckpoint {
		return Checkpoint{}, fmt.Errorf("ledger: a checkpoint of %d bytes: more than %d", len(signed), MaxCheckpoint)
	}
	n, err := note.Open(signed, note.VerifierList(append(slices.Clone(witnesses), logKey)...))
	if err != nil {
		return Checkpoint{}, fmt.Errorf("ledger: the checkpoint: %w", err)
	}
	c := Checkpoint{Origin: origin, Signed: signed}
	byLog := false
	for _, s := range n.Sigs {
		if s.Name == logKey.Name() && s.Hash == logKey.KeyHash() {
			byLog = true
		} else {
			c.Witnesses = append(c.Witnesses, s.Name)
		}
	}
	if !byLog {
		return Checkpoint{}, fmt.Errorf("ledger: the checkpoint is not signed by %s", logKey.Name())
	}
	c.Tree, err = parseText(n.Text, origin)
	return c, err
}

// parseText reads what is signed. One tree has one text: what an auditor compares must not have two.
func parseText(text, origin string) (tlog.Tree, error) {
	var c log.Checkpoint
	rest, err := c.Unmarshal([]byte(text))
	switch {
	case err != nil:
		return tlog.Tree{}, fmt.Errorf("ledger: %w", err)
	case c.Origin != origin:
		return tlog.Tree{}, fmt.Errorf("ledger: the checkpoint is of the log %q, not of %q", c.Origin, origin)
	case len(c.Hash) != tlog.HashSize || c.Size > math.MaxInt64 || len(rest) > 0 || string(c.Marshal()) != text:
		return tlog.Tree{}, errors.New("ledger: the checkpoint is not origin, size and root, as C2SP tlog-checkpoint has them")
	}
	return tlog.Tree{N: int64(c.Size), Hash: tlog.Hash(c.Hash)}, nil
}

// Cosign adds to a checkpoint what signature lines a witness has returned, as far as they are good and of its key. It
// returns nil where none is.
func Cosign(signed, lines []byte, logKey, witness note.Verifier) ([]byte, error) {
	if len(signed)+len(lines) > MaxCheckpoint {
		return nil, fmt.Errorf("ledger: witness %s: signatures of %d bytes", witness.Name(), len(lines))
	}
	with, err := note.Open(slices.Concat(signed, lines), note.VerifierList(witness))
	if err != nil {
		return nil, fmt.Errorf("ledger: witness %s: %w", witness.Name(), err)
	}
	n, err := note.Open(signed, note.VerifierList(logKey))
	if err != nil {
		return nil, err
	}
	n.UnverifiedSigs = append(n.UnverifiedSigs, with.Sigs...)
	return note.Sign(n)
}

// NewVerifier reads the public key of a log, as it is published: name+hash+key.
func NewVerifier(key string) (note.Verifier, error) {
	v, err := note.NewVerifier(strings.TrimSpace(key))
	if err != nil {
		return nil, errors.New("ledger: the log's key is not name+hash+key, as the ConfigMap has it under verifier")
	}
	return v, nil
}
