package localproxy

import (
	"fmt"

	"github.com/tidewaiter/tidewaiter/test/postgrestest"
)

// AllowAll are manifests of a DataSource without classifications and a policy that allows everything, the dangerous features by
// name: what a proxy does then must be invisible to any client. The proxy
// logs in as the role, with the server's password.
func AllowAll(server *postgrestest.Server, role, database string) string {
	return fmt.Sprintf(`apiVersion: tidewaiter.dev/v1alpha1
kind: DataSource
metadata: {name: open, namespace: data}
spec:
  protocol: postgres
  postgres: {host: %s, port: %d, database: %s, tls: {mode: disable}}
  credentials: {secretRef: {name: open-db}}
  listen: {port: 15432}
  allowedNamespaces: {selector: {}}
  recording: {rows: None, durability: Async}
---
apiVersion: tidewaiter.dev/v1alpha1
kind: AccessPolicy
metadata: {name: open, namespace: data}
spec:
  dataSources: [{name: open}]
  subjects: [{namespaceSelector: {}}]
  mode: Enforce
  rules:
  - name: everything
    action: Allow
    statements: ["*", DDL, Truncate, Grant, BulkSelect, UnboundedUpdate, UnboundedDelete, Program, File, LargeObject, DynamicSQL,
      ForeignData, Replication, FunctionCall, UnknownFunction, Identity, ParserSetting, Procedural, Extension, Notify, Laundering,
      Inference, SecretCatalog, Lock, ServerControl, SideEffect, UnsafeSetting]
    tables: ["*.*"]
  predicates: Allow
---
%s`, server.Host, server.Port, database, Secret("open-db", server, role))
}

// Secret is the manifest of a Secret in the namespace data with the credentials of a role that has the server's password.
func Secret(name string, server *postgrestest.Server, role string) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Secret
metadata: {name: %s, namespace: data}
stringData: {username: %s, password: %s}
`, name, role, server.Password)
}
