package chart

import (
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/test/kubetest"
)

func TestTheOperatorHasTheRightsThatItNeedsAndNoOthers(t *testing.T) {
	server := kubetest.Shared(t)
	server.Kubectl(t, "apply", "--server-side", "-f", "../../config/manager/namespace.yaml", "-f", "../../config/samples/namespaces.yaml")
	server.Kubectl(t, "apply", "--server-side", "-k", "../../config/rbac")
	server.Kubectl(t, "apply", "--server-side", "-f", "../../config/samples/access/secrets.yaml")
	for question, want := range map[string]string{
		// Secrets: its own authority, and what a data's owner granted by name.
		"get secrets/tidewaiter-ca -n tidewaiter-system":    "yes",
		"update secrets/tidewaiter-ca -n tidewaiter-system": "yes",
		"get secrets/other -n tidewaiter-system":            "no",
		"list secrets -n tidewaiter-system":                 "no",
		"delete secrets/tidewaiter-ca -n tidewaiter-system": "no",
		"get secrets/orders-db -n data":                     "yes",
		"watch secrets/orders-ca -n data":                   "yes",
		"get secrets/other -n data":                         "no",
		"list secrets -n data":                              "no",
		"update secrets/orders-db -n data":                  "no",
		"get secrets -n shop":                               "no",
		"list secrets -A":                                   "no",
		// Workloads are looked at.
		"watch pods -A":                         "yes",
		"create pods -n shop":                   "no",
		"delete pods -n shop":                   "no",
		"create pods/exec -n shop":              "no",
		"patch pods -n shop":                    "no",
		"update pods/ephemeralcontainers -A":    "no",
		"create serviceaccounts/token -n shop":  "no",
		"impersonate users":                     "no",
		"update nodes/status":                   "no",
		"patch namespaces/shop":                 "no",
		"create tokenreviews":                   "yes",
		"create subjectaccessreviews":           "yes", // whether people who decided may
		"bind clusterroles":                     "no",
		"escalate clusterroles":                 "no",
		"update customresourcedefinitions":      "no",
		"create validatingadmissionpolicies":    "no",
		"get leases/other -n tidewaiter-system": "no",
		// What owners write stays theirs: status alone is the operator's.
		"update datasources -n data":                                       "no",
		"patch accesspolicies -n data":                                     "no",
		"patch datasources.tidewaiter.dev -n data --subresource=status":    "yes",
		"patch accesspolicies.tidewaiter.dev -n data --subresource=status": "yes",
		// Requests for approval are the operator's to make, to judge and to remove; answers are people's.
		"create accessrequests -n data":                                    "yes",
		"delete accessrequests -n data":                                    "yes",
		"update accessrequests -n data":                                    "no",
		"patch accessrequests.tidewaiter.dev -n data --subresource=status": "yes",
		"watch accessdecisions -n data":                                    "yes",
		"create accessdecisions -n data":                                   "no",
		"delete accessdecisions -n data":                                   "no",
		"approve accesspolicies -n data":                                   "no",
		"break-glass accesspolicies -n data":                               "no",
		// One ConfigMap and one webhook configuration, by name.
		"patch configmaps/tidewaiter-ca -n shop":                   "yes",
		"patch configmaps/other -n shop":                           "no",
		"get configmaps/other -n shop":                             "no",
		"delete configmaps/tidewaiter-ca -n shop":                  "yes", // one that somebody made immutable
		"delete configmaps/other -n shop":                          "no",
		"patch mutatingwebhookconfigurations/tidewaiter-injector":  "yes",
		"patch mutatingwebhookconfigurations/somebody-elses":       "no",
		"create mutatingwebhookconfigurations":                     "no",
		"delete mutatingwebhookconfigurations/tidewaiter-injector": "no",
	} {
		args := append([]string{"auth", "can-i"}, strings.Fields(question)...)
		cmd := server.Command(t.Context(), append(args, "--as=system:serviceaccount:tidewaiter-system:tidewaiter-operator")...)
		out, _ := cmd.Output() // its status is 1 for no
		if got := strings.TrimSpace(string(out)); got != want {
			t.Errorf("%s: %s, want %s", question, got, want)
		}
	}
}

func TestPeopleHaveTheRightsOfTheRolesThatTheyAreGivenAndNoOthers(t *testing.T) {
	server := kubetest.Shared(t)
	server.Kubectl(t, "apply", "--server-side", "-f", "../../config/manager/namespace.yaml", "-f", "../../config/samples/namespaces.yaml")
	server.Kubectl(t, "apply", "--server-side", "-k", "../../config/rbac")
	server.Kubectl(t, "apply", "--server-side", "-f", "../../config/samples/access/approvers.yaml")
	server.Apply(t, `
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: approvers, namespace: data}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: tidewaiter-approver}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: approver}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: requesters, namespace: data}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: tidewaiter-requester}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: requester}]
`)
	const approver, requester, owner, oncall = "--as=approver", "--as=requester", "--as=olga --as-group=data-owners", "--as=oncall@example.org"
	for question, want := range map[string]string{
		"create accessdecisions -n data " + approver:                                    "yes",
		"approve accesspolicies/any -n data " + approver:                                "yes",
		"approve accesspolicies/any -n shop " + approver:                                "no",
		"break-glass accesspolicies/any -n data " + approver:                            "no",
		"create accessrequests -n data " + approver:                                     "no",
		"delete accessdecisions -n data " + approver:                                    "no",
		"update accesspolicies -n data " + approver:                                     "no",
		"patch accessrequests.tidewaiter.dev -n data --subresource=status " + approver:  "no",
		"create accessrequests -n data " + requester:                                    "yes",
		"create accessdecisions -n data " + requester:                                   "no",
		"approve accesspolicies/any -n data " + requester:                               "no",
		"patch accessrequests.tidewaiter.dev -n data --subresource=status " + requester: "no",
		"approve accesspolicies/reporting -n data " + owner:                             "yes",
		"approve accesspolicies/other -n data " + owner:                                 "no",
		"break-glass accesspolicies/reporting -n data " + owner:                         "no",
		"break-glass accesspolicies/reporting -n data " + oncall:                        "yes",
		"approve accesspolicies/reporting -n data " + oncall:                            "no",
		"create accessdecisions -n data --as=nobody":                                    "no",
	} {
		out, _ := server.Command(t.Context(), append([]string{"auth", "can-i"}, strings.Fields(question)...)...).Output() // its status is 1 for no
		if got := strings.TrimSpace(string(out)); got != want {
			t.Errorf("%s: %s, want %s", question, got, want)
		}
	}
}
