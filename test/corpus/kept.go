package corpus

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// shortestKept is the least length, in bytes, of a form that is looked for in what a proxy keeps: among a recording's hashes, so few bytes would be found by chance.
const shortestKept = 8

// bound is what the harness binds to a parameter whose type is text: it is what somebody's e-mail is. Where no statement of a session touches a
// tagged column, it was compared with others, or sent back as it came, and is nobody's secret.
const bound = "user7@canary.example"

// known takes out of a session's recording what its client has brought along, where that met nothing tagged.
func known(recording []byte) []byte {
	if bytes.Contains(recording, []byte(`"tags":[`)) {
		return recording
	}
	return bytes.ReplaceAll(recording, []byte(bound), nil)
}

// inspect fails if a canary, in any form, or a credential is left in a proxy's recordings or log. A canary that a statement
// holds as a constant counts as well: the corpora write them to, and compare them with, tagged columns alone.
func inspect(state string, log []byte, password string) error {
	c := newCanaries()
	for key, needles := range c.needles {
		var long []needle
		for _, n := range needles {
			if len(n.form) >= shortestKept {
				long = append(long, n)
			}
		}
		c.needles[key] = long
	}
	if err := c.inspect("the log", log, password); err != nil {
		return err
	}
	return filepath.WalkDir(state, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return c.inspect(filepath.Base(path), known(content), password)
	})
}

func (c *canaries) inspect(name string, content []byte, password string) error {
	if found := c.valuesIn(view{name, string(content)}, "", 3); len(found) > 0 {
		at := bytes.Index(content, []byte("canary"))
		return fmt.Errorf("kept: %q, near %q", found, content[max(at-200, 0):min(max(at, 0)+200, len(content))])
	}
	credentials := []string{"SCRAM-SHA-256$"}
	if len(password) >= shortestKept {
		credentials = append(credentials, password, hex.EncodeToString([]byte(password)), base64.RawStdEncoding.EncodeToString([]byte(password)))
	}
	for _, secret := range credentials {
		if bytes.Contains(content, []byte(secret)) {
			return fmt.Errorf("kept: %s holds a credential", name)
		}
	}
	return nil
}
