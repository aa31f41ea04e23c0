package audit

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// MaxCheckpoint is the largest checkpoint that is read, in bytes.
const MaxCheckpoint = 64 << 10

// Checkpoint is a signed state of the log (C2SP tlog-checkpoint).
type Checkpoint struct {
	Origin string
	Size   int64
	Root   tlog.Hash
}

// View is a checkpoint from somewhere else than the store: whoever changes the log there must change it here too.
type View struct {
	// Name says where it is from, such as "the ConfigMap".
	Name string
	// Note is the signed checkpoint.
	Note []byte
}

// OpenCheckpoint returns what the log's key has signed. The key is a C2SP verifier key, "origin+hash+base64".
func OpenCheckpoint(key string, signed []byte) (Checkpoint, error) {
	v, err := note.NewVerifier(key)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("the log's key is no verifier key (name+hash+key): %w", err)
	}
	if len(signed) > MaxCheckpoint {
		return Checkpoint{}, fmt.Errorf("the checkpoint has more than %d bytes", MaxCheckpoint)
	}
	n, err := note.Open(signed, note.VerifierList(v))
	if err != nil {
		return Checkpoint{}, err
	}
	return parseCheckpoint(n.Text, v.Name())
}

func parseCheckpoint(text, origin string) (c Checkpoint, err error) {
	lines := strings.Split(text, "\n")
	if len(lines) < 4 {
		return c, errors.New("the checkpoint has no origin, size and root")
	}
	c.Origin = lines[0]
	if c.Origin != origin {
		return c, fmt.Errorf("the checkpoint is of %q, and the key of %q", c.Origin, origin)
	}
	c.Size, err = strconv.ParseInt(lines[1], 10, 64)
	if err != nil || c.Size < 0 || strconv.FormatInt(c.Size, 10) != lines[1] {
		return c, fmt.Errorf("the checkpoint's size %q is no number", lines[1])
	}
	root, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || len(root) != len(c.Root) {
		return c, errors.New("the checkpoint's root is no hash")
	}
	copy(c.Root[:], root)
	return c, nil
}
