package approvals

import "fmt"

// tables have a rule each.
const tables = `
CREATE TABLE customers (id int PRIMARY KEY, name text, ssn text);
INSERT INTO customers SELECT i, 'name ' || i, 'canary-' || i FROM generate_series(1, 500) i;
CREATE TABLE orders (id int PRIMARY KEY, total numeric);
INSERT INTO orders SELECT i, i FROM generate_series(1, 2000) i;
CREATE TABLE brief (id int); INSERT INTO brief VALUES (1);
CREATE TABLE pair (id int); INSERT INTO pair VALUES (1);
CREATE TABLE often (id int); INSERT INTO often SELECT i FROM generate_series(1, 3) i;
CREATE TABLE hourly (id int); INSERT INTO hourly SELECT i FROM generate_series(1, 3) i;
CREATE TABLE again (id int); INSERT INTO again VALUES (1);
CREATE TABLE ledger (id int); INSERT INTO ledger VALUES (1);
CREATE TABLE glass (id int); INSERT INTO glass VALUES (1);
CREATE TABLE metered (id int, pad text); INSERT INTO metered SELECT i, 'x' FROM generate_series(1, 5000) i;
CREATE TABLE shared (id int); INSERT INTO shared SELECT i FROM generate_series(1, 100000) i;
CREATE TABLE notes (id int, note text);
ANALYZE;
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
stringData: {username: scram_role, password: canary-first-7f3a9c}
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
---
apiVersion: tidewaiter.dev/v1alpha1
kind: AccessPolicy
metadata: {name: reporting, namespace: data}
spec:
  dataSources: [{name: orders}]
  subjects: [{namespaceSelector: {matchLabels: {team: shop}}, serviceAccounts: [report-agent]}]
  rules:
  - {name: read, action: Allow, statements: [Select, Transaction, Session], tables: ["public.orders", "public.notes"]}
  - {name: nothing, action: Allow, statements: [Select, Transaction, Session]}
  - {name: exports, action: RequireApproval, statements: [CopyOut, BulkSelect], tables: ["public.orders", "public.customers"]}
  - {name: brief, action: RequireApproval, statements: [Select, BulkSelect], tables: ["public.brief"], approval: {timeout: 2s}}
  - {name: pair, action: RequireApproval, statements: [Select, BulkSelect], tables: ["public.pair"], approval: {approvers: 2, anyOf: [dba, security], allOf: [security]}}
  - {name: often, action: RequireApproval, statements: [Select, BulkSelect], tables: ["public.often"], approval: {grant: Session}}
  - {name: hourly, action: RequireApproval, statements: [Select, BulkSelect], tables: ["public.hourly"], approval: {grant: 1h}}
  - {name: again, action: RequireApproval, statements: [Select, BulkSelect], tables: ["public.again"], approval: {wait: Refuse}}
  - {name: writes, action: RequireApproval, statements: [Update, UnboundedUpdate], tables: ["public.ledger"], approval: {transactionTimeout: 2s}}
  - {name: glass, action: RequireApproval, statements: [Select, BulkSelect], tables: ["public.glass"], approval: {approvers: 3, breakGlass: WithReason}}
  - {name: metered, action: Allow, statements: [Select, BulkSelect, CopyOut], tables: ["public.metered"], limits: {rowsPerStatement: 1000, onExceed: RequireApproval}}
  - {name: shared, action: Allow, statements: [Select, BulkSelect], tables: ["public.shared"], limits: {rowsPerHour: 10000}}
  - {name: notes, action: Allow, statements: [Select, BulkSelect, Insert, Laundering], tables: ["public.notes", "public.customers"]}
  masks: [{tags: ["pii/*"], strategy: Redact}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: approver, namespace: data}
rules:
- {apiGroups: [tidewaiter.dev], resources: [accesspolicies], resourceNames: [reporting], verbs: [approve, get]}
- {apiGroups: [tidewaiter.dev], resources: [accessrequests], verbs: [get, list, watch, create]}
- {apiGroups: [tidewaiter.dev], resources: [accessdecisions], verbs: [get, list, create]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: approver, namespace: data}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: approver}
subjects:
- {kind: User, name: alice, apiGroup: rbac.authorization.k8s.io}
- {kind: User, name: bob, apiGroup: rbac.authorization.k8s.io}
- {kind: ServiceAccount, name: report-agent, namespace: shop}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: onlooker, namespace: data}
rules: [{apiGroups: [tidewaiter.dev], resources: [accessrequests, accessdecisions], verbs: [get, list, create, update, patch]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: onlooker, namespace: data}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: onlooker}
subjects: [{kind: User, name: mallory, apiGroup: rbac.authorization.k8s.io}, {kind: User, name: alice, apiGroup: rbac.authorization.k8s.io}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: breaker, namespace: data}
rules: [{apiGroups: [tidewaiter.dev], resources: [accesspolicies], resourceNames: [reporting], verbs: [break-glass]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: breaker, namespace: data}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: breaker}
subjects: [{kind: User, name: bob, apiGroup: rbac.authorization.k8s.io}]
`, ca, port, database)
}
