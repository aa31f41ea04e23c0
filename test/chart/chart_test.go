// Package chart holds what is asked of the ways to install Tidewaiter: that the Helm chart and config/default say the
// same, that a real API server takes every object of both, and that uninstalling leaves nothing that blocks pods.
//
// It uses helm and kubectl as people do, and must not import a package of the product.
package chart

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/tidewaiter/tidewaiter/test/kubetest"
)

const (
	chart     = "../../charts/tidewaiter"
	namespace = "tidewaiter-system"
	patience  = time.Minute
)

// everyValue sets each value to something else than its default.
const everyValue = `
images:
  operator: {repository: registry.example/op, tag: v9}
  proxy: {repository: registry.example/proxy, tag: v9}
  olderProxies: ["registry.example/proxy:v7", "registry.example/proxy:v8"]
  pullPolicy: Always
  pullSecrets: [{name: registry}]
replicas: 3
strict: true
requestsKept: 24h
logLevel: debug
recordings: {existingClaim: recordings, limit: 100Gi, lock: Governance, retention: 720h, key: "awskms:///alias/recordings?region=eu-central-1", existingSecret: bucket}
secretAccess:
- {namespace: data, secrets: [orders-db, orders-ca]}
resources: {requests: {cpu: 1}}
priorityClassName: ""
nodeSelector: {kubernetes.io/os: linux}
tolerations: [{key: dedicated, operator: Exists}]
podAnnotations: {team: platform}
`

// helm runs the pinned helm.
func helm(ctx context.Context, stdin string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", append([]string{"tool", "-modfile=../../hack/tools/helm/go.mod", "helm"}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("helm %s: %w\n%s", strings.Join(args, " "), err, errOut.String())
	}
	return out.String(), nil
}

func render(t *testing.T, values string) string {
	t.Helper()
	out, err := helm(t.Context(), values, "template", "tidewaiter", chart, "--namespace", namespace, "--kube-version", "1.37.2", "--values", "-")
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// objects reads a stream of manifests, by kind, namespace and name.
func objects(t *testing.T, manifests string) map[string]map[string]any {
	t.Helper()
	out := map[string]map[string]any{}
	for d := yaml.NewYAMLOrJSONDecoder(strings.NewReader(manifests), 4096); ; {
		var obj map[string]any
		if err := d.Decode(&obj); errors.Is(err, io.EOF) {
			return out
		} else if err != nil {
			t.Fatal(err)
		}
		if len(obj) == 0 {
			continue
		}
		u := unstructured.Unstructured{Object: obj}
		key := fmt.Sprintf("%s %s/%s", u.GetKind(), u.GetNamespace(), u.GetName())
		if out[key] != nil {
			t.Errorf("%s is there twice", key)
		}
		out[key] = obj
	}
}

func TestChartAndKustomizationTellTheSameStory(t *testing.T) {
	server := kubetest.Shared(t)
	want := objects(t, server.Kubectl(t, "kustomize", "../../config/default"))
	delete(want, "Namespace /"+namespace) // helm's users make it, or let helm do so
	got := objects(t, render(t, ""))
	for key, obj := range got {
		u := unstructured.Unstructured{Object: obj}
		if annotations := u.GetAnnotations(); u.GetKind() == "CustomResourceDefinition" {
			if annotations["helm.sh/resource-policy"] != "keep" {
				t.Errorf("%s would be removed with everything of its kind", key)
			}
			delete(annotations, "helm.sh/resource-policy")
			u.SetAnnotations(annotations)
		}
		if want[key] == nil {
			t.Errorf("%s is only in the chart", key)
		} else if !reflect.DeepEqual(folded(obj), folded(want[key])) {
			t.Errorf("%s differs:\nchart     %v\nkustomize %v", key, obj, want[key])
		}
	}
	for key := range want {
		if got[key] == nil {
			t.Errorf("%s is only in config/default", key)
		}
	}
}

// folded is a value with every run of white space as one space: kustomize writes folded texts with more line breaks.
func folded(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for key, value := range v {
			out[key] = folded(value)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = folded(v[i])
		}
		return out
	case string:
		return strings.Join(strings.Fields(v), " ")
	default:
		return v
	}
}

func TestAnAPIServerTakesEveryObject(t *testing.T) {
	server := kubetest.Shared(t)
	server.Kubectl(t, "apply", "--server-side", "-f", "../../config/manager/namespace.yaml", "-f", "../../config/samples/namespaces.yaml")
	for name, manifests := range map[string]string{
		"defaults": render(t, ""), "every value": render(t, everyValue), "another namespace": strings.ReplaceAll(render(t, ""), namespace, "default"),
		"kustomize": server.Kubectl(t, "kustomize", "../../config/default"), "samples": server.Kubectl(t, "kustomize", "../../config/samples"),
	} {
		t.Run(name, func(t *testing.T) {
			cmd := server.Command(t.Context(), "apply", "--server-side", "--dry-run=server", "-f", "-")
			cmd.Stdin = strings.NewReader(manifests)
			var out, errOut bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &errOut
			if err := cmd.Run(); err != nil {
				t.Fatalf("%v\n%s", err, errOut.String())
			}
			if taken, all := strings.Count(out.String(), "serverside-applied"), len(objects(t, manifests)); taken != all || all < 4 {
				t.Errorf("%d of %d objects were taken:\n%s", taken, all, out.String())
			}
			if errOut.Len() > 0 { // Pod Security warns of Deployments whose pods it would refuse
				t.Errorf("warnings:\n%s", errOut.String())
			}
		})
	}
}

func TestEveryValueArrives(t *testing.T) {
	got := objects(t, render(t, everyValue))
	all := fmt.Sprint(got["Deployment "+namespace+"/tidewaiter-operator"])
	for _, want := range []string{
		"registry.example/op:v9", "--proxy-image=registry.example/proxy:v9",
		"--older-proxy-image=registry.example/proxy:v7 --older-proxy-image=registry.example/proxy:v8", "--recordings-limit=100Gi", "--recordings-lock=Governance", "--recordings-retention=720h",
		"--recordings-key=awskms:///alias/recordings?region=eu-central-1", "secretRef:map[name:bucket]", "Always", "replicas:3", "--strict", "--requests-kept=24h", "--log-level=debug",
		"claimName:recordings", "kubernetes.io/os:linux", "dedicated", "team:platform", "cpu:1", "imagePullSecrets:[map[name:registry]]",
	} {
		if !strings.Contains(all, want) {
			t.Errorf("the Deployment lacks %s: %s", want, all)
		}
	}
	if strings.Contains(all, "priorityClassName") || strings.Contains(all, "emptyDir") {
		t.Errorf("what was taken out is there: %s", all)
	}
	if role := fmt.Sprint(got["Role data/tidewaiter-secrets"]); !strings.Contains(role, "resourceNames:[orders-db orders-ca]") {
		t.Errorf("the Role is %s", role)
	}
}

func TestWrongValuesAreRefusedByName(t *testing.T) {
	for values, want := range map[string]string{
		"replicas: 0":                           "replicas",
		"replica: 2":                            "replica",
		"logLevel: loud":                        "logLevel",
		"requestsKept: a while":                 "requestsKept",
		"secretAccess: [{namespace: data}]":     "secrets",
		"recordings: {sizeLimit: a lot}":        "sizeLimit",
		"recordings: {limit: a lot}":            "limit",
		"recordings: {lock: Perhaps}":           "lock",
		"recordings: {retention: long}":         "retention",
		"images: {proxy: {tag: v1, digest: x}}": "digest",
	} {
		_, err := helm(t.Context(), values, "template", "tidewaiter", chart, "--kube-version", "1.37.2", "--values", "-")
		if err == nil || !strings.Contains(err.Error(), "meet the specifications of the schema") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", values, err)
		}
	}
}

const annotated = `
apiVersion: v1
kind: Pod
metadata: {generateName: report-, namespace: shop, annotations: {tidewaiter.dev/inject: data/orders}}
spec: {containers: [{name: agent, image: agent}]}
`

// create says what the API server says to a pod that asks for injection.
func create(ctx context.Context, server *kubetest.Server) error {
	cmd := server.Command(ctx, "create", "-f", "-")
	cmd.Stdin = strings.NewReader(annotated)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

func TestUninstallingLeavesNothingThatBlocksPods(t *testing.T) {
	server, err := kubetest.Start(kubetest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Stop()
	if _, err := helm(t.Context(), "", "install", "tidewaiter", chart, "--kubeconfig", server.KubeConfig,
		"--namespace", namespace, "--create-namespace", "--take-ownership"); err != nil {
		t.Fatal(err)
	}
	server.Apply(t, "{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {tidewaiter.dev/injection: enabled}}}")
	server.Apply(t, "{apiVersion: v1, kind: Namespace, metadata: {name: data}}")
	server.Kubectl(t, "apply", "-f", "../../config/samples/v1alpha1_datasource.yaml", "-f", "../../config/samples/v1alpha1_accesspolicy.yaml")

	// Nobody answers the webhook here: a pod that asks for injection is not created without it.
	if err := create(t.Context(), server); err == nil || !strings.Contains(err.Error(), "inject.tidewaiter.dev") {
		t.Fatalf("with the webhook installed: %v", err)
	}

	if _, err := helm(t.Context(), "", "uninstall", "tidewaiter", "--kubeconfig", server.KubeConfig, "--namespace", namespace); err != nil {
		t.Fatal(err)
	}
	var last error
	err = wait.PollUntilContextTimeout(t.Context(), 100*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
		last = create(ctx, server)
		return last == nil, nil
	})
	if err != nil {
		t.Errorf("a pod after uninstalling: %v", last)
	}
	left := strings.Fields(server.Kubectl(t, "get", "mutatingwebhookconfigurations,validatingadmissionpolicies,validatingadmissionpolicybindings,clusterroles,clusterrolebindings", "-o", "name"))
	if i := slices.IndexFunc(left, func(name string) bool { return strings.Contains(name, "tidewaiter") }); i >= 0 {
		t.Errorf("%s is left", left[i])
	}

	// What owners wrote is kept, and can be removed: nobody waits for an operator that is gone.
	server.Kubectl(t, "delete", "--timeout=20s", "-n", "data", "datasource/orders", "accesspolicy/reporting")
}
