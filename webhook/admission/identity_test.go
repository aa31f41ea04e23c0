package admission

import (
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clients "k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/tidewaiter/tidewaiter/injection"
)

// as is a client of a user.
func as(t *testing.T, config *rest.Config) *clients.Clientset {
	t.Helper()
	set, err := clients.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// editor is somebody who may do in namespace shop what the ClusterRole edit lets its developers do. (The role itself is put
// together by a controller, and here is none.)
func (c *cluster) editor(t *testing.T) *clients.Clientset {
	t.Helper()
	c.Apply(t, `
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: editor, namespace: shop}
rules:
- {apiGroups: [""], resources: [configmaps], verbs: [get, create, update, patch, delete]}
- {apiGroups: [""], resources: [serviceaccounts/token], verbs: [create]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: editor, namespace: shop}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: editor}
subjects: [{kind: User, name: editor, apiGroup: rbac.authorization.k8s.io}]
`)
	set := as(t, c.User(t, "editor"))
	if err := eventually(func() error {
		_, err := set.CoreV1().ConfigMaps("shop").Create(t.Context(), configMap("anything", "x"), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return err
	}); err != nil {
		t.Fatalf("the editor may not edit: %v", err)
	}
	return set
}

func configMap(name, certificates string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "shop"}, Data: map[string]string{injection.CAFile: certificates}}
}

func refusedBy(t *testing.T, err error, policy string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), "ValidatingAdmissionPolicy '"+policy+"'") {
		t.Errorf("got %v, want a refusal by %s", err, policy)
	}
}

// What the operator gives a credential for is a token that is bound to an injected pod.
func TestWhoeverEditsANamespaceGetsNoTokenOfAnInjectedPod(t *testing.T) {
	c := kubernetes(t)
	pod, editor := c.create(t, plain("shop", "data/orders")), c.editor(t)
	for name, audiences := range map[string][]string{"alone": {injection.Audience}, "among others": {"https://elsewhere.example", injection.Audience}} {
		t.Run(name, func(t *testing.T) {
			_, err := editor.CoreV1().ServiceAccounts("shop").CreateToken(t.Context(), pod.Spec.ServiceAccountName, &authenticationv1.TokenRequest{
				Spec: authenticationv1.TokenRequestSpec{
					Audiences:      audiences,
					BoundObjectRef: &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: pod.Name, UID: pod.UID},
				},
			}, metav1.CreateOptions{})
			refusedBy(t, err, "tidewaiter-tokens")
		})
	}
	if _, err := editor.CoreV1().ServiceAccounts("shop").CreateToken(t.Context(), pod.Spec.ServiceAccountName, &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{Audiences: []string{"https://elsewhere.example"}},
	}, metav1.CreateOptions{}); err != nil {
		t.Errorf("a token for somebody else: %v", err)
	}
	if _, err := c.PodToken(t.Context(), pod, injection.Audience); err != nil {
		t.Errorf("the kubelet's: %v", err)
	}
}

// Sidecars show their token to whoever this ConfigMap certifies.
func TestWhoeverEditsANamespaceIsNotTheOperatorToItsSidecars(t *testing.T) {
	c := kubernetes(t)
	editor := c.editor(t).CoreV1().ConfigMaps("shop")
	_, err := editor.Create(t.Context(), configMap(injection.CAConfigMap, "mine"), metav1.CreateOptions{})
	refusedBy(t, err, "tidewaiter-ca")

	c.Kubectl(t, "apply", "-f", "../../config/rbac/cluster.yaml")
	c.Kubectl(t, "create", "clusterrolebinding", "operator", "--clusterrole=tidewaiter-operator", "--user=operator")
	operator := as(t, c.User(t, "operator")).CoreV1().ConfigMaps("shop")
	if err := eventually(func() error {
		_, err := operator.Create(t.Context(), configMap(injection.CAConfigMap, "ours"), metav1.CreateOptions{})
		return err
	}); err != nil {
		t.Fatalf("the operator: %v", err)
	}
	_, err = editor.Update(t.Context(), configMap(injection.CAConfigMap, "mine"), metav1.UpdateOptions{})
	refusedBy(t, err, "tidewaiter-ca")
	if err := editor.Delete(t.Context(), injection.CAConfigMap, metav1.DeleteOptions{}); err != nil {
		t.Errorf("deleting, by which a namespace ends: %v", err)
	}
}
