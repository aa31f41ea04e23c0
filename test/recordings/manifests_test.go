package recordings

import "fmt"

// tables: work is written by the agents whose proxies are killed.
const tables = `
CREATE TABLE customers (id int PRIMARY KEY, name text, ssn text);
INSERT INTO customers SELECT i, 'name ' || i, 'canary-ssn-' || i FROM generate_series(1, 2000) i;
CREATE TABLE orders (id int PRIMARY KEY, total numeric);
INSERT INTO orders SELECT i, i FROM generate_series(1, 1000) i;
CREATE TABLE salaries (id int);
CREATE TABLE work (n bigint PRIMARY KEY);
GRANT ALL ON ALL TABLES IN SCHEMA public TO scram_role;`

// agent is its author's pod.
const agent = `
apiVersion: v1
kind: Pod
metadata:
  name: %s
  namespace: shop
  labels: {app: report}
  annotations: {tidewaiter.dev/inject: data/orders, tidewaiter.dev/health-port: "%d", tidewaiter.dev/log-level: debug}
spec:
  serviceAccountName: report-agent
  containers: [{name: agent, image: registry.test/agent}]
`

func manifests(port int, database, ca string) string {
	return fmt.Sprintf(`
apiVersion: v1
kind: Namespace
metadata: {name: data}
---
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {team: shop, tidewaiter.dev/injection: enabled}}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: report-agent, namespace: shop}
---
apiVersion: v1
kind: Secret
metadata: {name: orders-db, namespace: data}
stringData: {username: scram_role, password: canary-password-7f3a9c}
---
apiVersion: v1
kind: Secret
metadata: {name: orders-ca, namespace: data}
stringData: {ca.crt: %q}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: tidewaiter-secrets, namespace: data}
rules: [{apiGroups: [""], resources: [secrets], resourceNames: [orders-db, orders-ca], verbs: [get, list, watch]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: tidewaiter-secrets, namespace: data}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: tidewaiter-secrets}
subjects: [{kind: ServiceAccount, name: tidewaiter-operator, namespace: tidewaiter-system}]
---
apiVersion: tidewaiter.dev/v1alpha1
kind: DataSource
metadata: {name: orders, namespace: data}
spec:
  protocol: postgres
  postgres: {host: localhost, port: %d, database: %s, tls: {mode: verify-full, caSecretRef: {name: orders-ca}}}
  credentials: {secretRef: {name: orders-db}}
  allowedNamespaces: {selector: {matchLabels: {team: shop}}}
  listen: {port: 5432}
  classifications: [{columns: ["public.customers.ssn"], tags: [pii/ssn]}]
  recording: {rows: Masked, durability: Statement}
---
apiVersion: tidewaiter.dev/v1alpha1
kind: AccessPolicy
metadata: {name: reporting, namespace: data}
spec:
  dataSources: [{name: orders}]
  subjects: [{namespaceSelector: {matchLabels: {team: shop}}, serviceAccounts: [report-agent]}]
  rules:
  - {name: read, action: Allow, statements: [Select, BulkSelect, CopyOut, Transaction, Session], tables: ["public.orders", "public.customers", "public.work"]}
  - {name: write, action: Allow, statements: [Insert, Update, Laundering], tables: ["public.customers", "public.work"]}
  masks: [{tags: ["pii/*"], strategy: Redact}]
`, ca, port, database)
}
