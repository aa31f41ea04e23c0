// Package crd holds the generated CustomResourceDefinitions, so that programs without a cluster judge a manifest by
// exactly what an API server would judge it by.
//
// It knows files only: no Go types of the API, no client, no validation.
package crd

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
)

//go:embed bases/*.yaml
var bases embed.FS

// Definitions returns the YAML of every CustomResourceDefinition by file name. The error can only come from a broken
// build, since the files are part of the program.
func Definitions() (map[string][]byte, error) {
	names, err := fs.Glob(bases, "bases/*.yaml")
	if err != nil {
		return nil, fmt.Errorf("list embedded CustomResourceDefinitions: %w", err)
	}
	definitions := make(map[string][]byte, len(names))
	for _, name := range names {
		content, err := bases.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("read embedded CustomResourceDefinition: %w", err)
		}
		definitions[path.Base(name)] = content
	}
	return definitions, nil
}
