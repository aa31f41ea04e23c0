// Command reference writes docs/reference: conditions and reasons from the doc comments of their constants, and the API's
// fields from the CustomResourceDefinitions. `make generate` runs it in the repository's root.
//
// It reads sources and must not know what anything means.
package main

import (
	"fmt"
	"os"
	"path/filepath"
)

const (
	constants   = "api/v1alpha1/conditions.go"
	types       = "api/v1alpha1/*_types.go"
	definitions = "config/crd/bases/*.yaml"
	folder      = "docs/reference"
)

func main() {
	if err := write(); err != nil {
		fmt.Fprintln(os.Stderr, "reference:", err)
		os.Exit(1)
	}
}

func write() error {
	conditions, err := conditionsPage()
	if err != nil {
		return err
	}
	api, err := apiPage()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(folder, "conditions.md"), []byte(conditions), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, "api.md"), []byte(api), 0o644)
}
