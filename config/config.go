// Package config holds those manifests of an installation that API servers read, so that whoever looks at a cluster knows what
// belongs there.
//
// It knows files only: no Go types, no client.
package config

import (
	"embed"
	"fmt"
	"io/fs"
)

//go:embed admission/*.yaml webhook/*.yaml
var files embed.FS

// Admission returns the manifests of config/admission and config/webhook by file name: admission policies with their bindings, and
// webhook configurations. The error can only come from a broken build, since the files are part of the program.
func Admission() (map[string][]byte, error) {
	out := map[string][]byte{}
	for _, pattern := range []string{"admission/*.yaml", "webhook/*.yaml"} {
		names, err := fs.Glob(files, pattern)
		if err != nil {
			return nil, fmt.Errorf("list embedded manifests: %w", err)
		}
		for _, name := range names {
			if out[name], err = files.ReadFile(name); err != nil {
				return nil, fmt.Errorf("read embedded manifest: %w", err)
			}
		}
	}
	return out, nil
}
