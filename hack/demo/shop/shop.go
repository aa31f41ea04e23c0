// Package shop is what both acts of the demo play in: a small shop's database, the manifests of its owner, the values in it
// that nobody may see, and the means to look for them.
//
// It must not know how Tidewaiter is run.
package shop

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/tidewaiter/tidewaiter/test/postgrestest"
)

//go:embed manifests/*.yaml
var manifests embed.FS

//go:embed shop.sql
var schema string

const (
	// Database is the shop's.
	Database = "shop"
	// Role is what only the proxy logs in as.
	Role = "shop_reader" // of shop.sql
)

// Fill creates the database, with all that is in it, and gives the role a password.
func Fill(ctx context.Context, server *postgrestest.Server, password string) error {
	if err := server.CreateDatabase(ctx, Database, ""); err != nil {
		return err
	}
	return server.Exec(ctx, Database, schema+"ALTER ROLE "+Role+" PASSWORD '"+password+"';")
}

// WriteManifests writes the owner's manifests to a folder, with the server's port, the port on which programs are to find
// the database, and the Secrets.
func WriteManifests(dir string, server *postgrestest.Server, listen int, password string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	names, err := fs.Glob(manifests, "manifests/*.yaml")
	if err != nil {
		return err
	}
	ports := strings.NewReplacer(
		"port: 5432\n    database", fmt.Sprintf("port: %d\n    database", server.Port),
		"listen:\n    port: 5432", fmt.Sprintf("listen:\n    port: %d", listen),
	)
	for _, name := range names {
		raw, err := manifests.ReadFile(name)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(name)), []byte(ports.Replace(string(raw))), 0o600); err != nil {
			return err
		}
	}
	ca, err := server.CA()
	if err != nil {
		return err
	}
	secrets := fmt.Sprintf(`apiVersion: v1
kind: Secret
metadata: {name: orders-db, namespace: data}
stringData: {username: %s, password: %q}
---
apiVersion: v1
kind: Secret
metadata: {name: orders-ca, namespace: data}
stringData: {ca.crt: %q}
`, Role, password, ca)
	return os.WriteFile(filepath.Join(dir, "secrets.yaml"), []byte(secrets), 0o600)
}
