package admission

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tidewaiter/tidewaiter/injection"
)

// injectedPod is what injection makes of a plain pod, as somebody could write it by hand.
func (c *cluster) injectedPod(t testing.TB) *corev1.Pod {
	t.Helper()
	pod := plain("shop", "data/orders")
	pod.Spec.InitContainers = []corev1.Container{{Name: "migrate", Image: "migrate:1"}}
	if err := c.client.Create(t.Context(), pod, client.DryRunAll); err != nil {
		t.Fatal(err)
	}
	pod.ObjectMeta = metav1.ObjectMeta{Namespace: "shop", GenerateName: "web-", Labels: pod.Labels, Annotations: pod.Annotations}
	return pod
}

// withoutWebhook takes the webhook's configuration away for the rest of the test: what is refused then, the API server
// refuses by itself.
func (c *cluster) withoutWebhook(t testing.TB) {
	t.Helper()
	var configuration admissionregistrationv1.MutatingWebhookConfiguration
	if err := c.client.Get(t.Context(), client.ObjectKey{Name: "tidewaiter-injector"}, &configuration); err != nil {
		t.Fatal(err)
	}
	if err := c.client.Delete(t.Context(), &configuration); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.restore(t, &configuration) })
	if err := eventually(func() error {
		if c.client.Create(t.Context(), plain("shop", "data/orders"), client.DryRunAll) == nil {
			return errors.New("the webhook is still asked")
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

func (c *cluster) restore(t testing.TB, configuration *admissionregistrationv1.MutatingWebhookConfiguration) {
	configuration.ObjectMeta = metav1.ObjectMeta{Name: configuration.Name}
	ctx, cancel := contextWithPatience()
	defer cancel()
	if err := c.client.Create(ctx, configuration); err != nil {
		t.Fatal(err)
	}
	if err := eventually(func() error {
		return c.client.Create(ctx, plain("shop", "data/orders"), client.DryRunAll)
	}); err != nil {
		t.Fatal(err)
	}
}

func TestWithoutTheOperatorTheAPIServerRefusesWhatReachesForTheProxy(t *testing.T) {
	c := kubernetes(t)
	good := c.injectedPod(t)
	c.withoutWebhook(t)
	if err := c.client.Create(t.Context(), good.DeepCopy(), client.DryRunAll); err != nil {
		t.Fatalf("an injected pod: %v", err)
	}
	for says, alterations := range reaching() {
		for name, alter := range alterations {
			pod := good.DeepCopy()
			alter(pod)
			err := c.client.Create(t.Context(), pod, client.DryRunAll)
			said := err != nil && strings.Contains(err.Error(), "ValidatingAdmissionPolicy 'tidewaiter-")
			// Two policies refuse this one, and the API server speaks for whichever it asks first.
			if name == "not asked" && said && strings.Contains(err.Error(), "does nothing without") {
				continue
			}
			if !said || !strings.Contains(err.Error(), says) {
				t.Errorf("%s: %v\nwant %s", name, err, says)
			}
		}
	}
}

type alterations map[string]func(p *corev1.Pod)

// reaching are alterations of an injected pod by what is said of them.
func reaching() map[string]alterations {
	yes, user := true, injection.UserID
	app := func(p *corev1.Pod) *corev1.Container { return &p.Spec.Containers[0] }
	migrate := func(p *corev1.Pod) *corev1.Container { return &p.Spec.InitContainers[1] }
	capability := func(c *corev1.Container, name corev1.Capability) {
		c.SecurityContext = &corev1.SecurityContext{Capabilities: &corev1.Capabilities{Add: []corev1.Capability{name}}}
	}
	return map[string]alterations{
		"asks for injection and is not injected": {
			"no container": func(p *corev1.Pod) { p.Spec.InitContainers = nil },
			"not native": func(p *corev1.Pod) {
				ours := &p.Spec.InitContainers[0]
				ours.RestartPolicy, ours.StartupProbe, ours.LivenessProbe = nil, nil, nil
			},
			"no label":       func(p *corev1.Pod) { p.Labels = nil },
			"another label":  func(p *corev1.Pod) { p.Labels = map[string]string{injection.InjectedLabel: "false"} },
			"no status":      func(p *corev1.Pod) { delete(p.Annotations, injection.StatusAnnotation) },
			"other identity": func(p *corev1.Pod) { renameVolume(p, injection.IdentityVolume) },
		},
		"says that it is injected": {
			"not asked": func(p *corev1.Pod) {
				p.Annotations = maps.Clone(p.Annotations)
				delete(p.Annotations, injection.Annotation)
			},
		},
		"is not opted in":            {"elsewhere": func(p *corev1.Pod) { p.Namespace = "data" }},
		"spec.hostNetwork":           {"host network": func(p *corev1.Pod) { p.Spec.HostNetwork = true }},
		"spec.hostPID":               {"host PID": func(p *corev1.Pod) { p.Spec.HostPID = true }},
		"spec.shareProcessNamespace": {"processes": func(p *corev1.Pod) { p.Spec.ShareProcessNamespace = &yes }},
		"reserved for the proxy": {
			"user of the pod":  func(p *corev1.Pod) { p.Spec.SecurityContext = &corev1.PodSecurityContext{RunAsUser: &user} },
			"group of the pod": func(p *corev1.Pod) { p.Spec.SecurityContext = &corev1.PodSecurityContext{RunAsGroup: &user} },
			"group of files":   func(p *corev1.Pod) { p.Spec.SecurityContext = &corev1.PodSecurityContext{FSGroup: &user} },
			"one more group": func(p *corev1.Pod) {
				p.Spec.SecurityContext = &corev1.PodSecurityContext{SupplementalGroups: []int64{1, user}}
			},
			"user of a container":  func(p *corev1.Pod) { app(p).SecurityContext = &corev1.SecurityContext{RunAsUser: &user} },
			"group of a container": func(p *corev1.Pod) { migrate(p).SecurityContext = &corev1.SecurityContext{RunAsGroup: &user} },
		},
		"privileged or has a capability": {
			"privileged":  func(p *corev1.Pod) { app(p).SecurityContext = &corev1.SecurityContext{Privileged: &yes} },
			"NET_ADMIN":   func(p *corev1.Pod) { capability(migrate(p), "NET_ADMIN") },
			"cap_net_raw": func(p *corev1.Pod) { capability(app(p), "cap_net_raw") },
			"ALL":         func(p *corev1.Pod) { capability(app(p), "ALL") },
			"SYS_ADMIN":   func(p *corev1.Pod) { capability(app(p), "SYS_ADMIN") },
			"SYS_MODULE":  func(p *corev1.Pod) { capability(app(p), "SYS_MODULE") },
			"SYS_PTRACE":  func(p *corev1.Pod) { capability(app(p), "SYS_PTRACE") },
			"BPF":         func(p *corev1.Pod) { capability(app(p), "BPF") },
			"PERFMON":     func(p *corev1.Pod) { capability(app(p), "CAP_PERFMON") },
			"istio-init": func(p *corev1.Pod) {
				capability(migrate(p), "NET_ADMIN")
				migrate(p).Name = "istio-init" // nobody has trusted a mesh in this namespace
			},
		},
		"belong to the proxy alone": {
			"identity": func(p *corev1.Pod) {
				app(p).VolumeMounts = append(app(p).VolumeMounts, corev1.VolumeMount{Name: injection.IdentityVolume, MountPath: "/x"})
			},
			"spool": func(p *corev1.Pod) {
				migrate(p).VolumeMounts = append(migrate(p).VolumeMounts, corev1.VolumeMount{Name: injection.SpoolVolume, MountPath: "/x"})
			},
		},
		"only the proxy may have a token": {
			"injected": addToken,
			"not injected": func(p *corev1.Pod) {
				bare(p)
				addToken(p)
			},
		},
		"does nothing without": {
			"a mistyped annotation": func(p *corev1.Pod) {
				bare(p)
				p.Annotations = map[string]string{injection.Domain + "injct": "data/orders"}
			},
		},
		"the name belongs to the sidecar": {"our name": func(p *corev1.Pod) { p.Labels, p.Annotations = nil, nil }},
	}
}

// bare takes everything of the injection away.
func bare(p *corev1.Pod) {
	p.Labels, p.Annotations, p.Spec.InitContainers, p.Spec.Volumes = nil, nil, nil, nil
	p.Spec.Containers[0].VolumeMounts = nil
}

func addToken(p *corev1.Pod) {
	p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: "t", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
		Sources: []corev1.VolumeProjection{{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Audience: injection.Audience, Path: "t"}}},
	}}})
}

func renameVolume(p *corev1.Pod, name string) {
	for i := range p.Spec.Volumes {
		if p.Spec.Volumes[i].Name == name {
			p.Spec.Volumes[i].Name = "mine"
		}
	}
	for i := range p.Spec.InitContainers[0].VolumeMounts {
		if p.Spec.InitContainers[0].VolumeMounts[i].Name == name {
			p.Spec.InitContainers[0].VolumeMounts[i].Name = "mine"
		}
	}
}

// The dearest pod that fits into a request costs less than the API server grants a policy; else it would be refused for
// what it costs, whatever it asks for.
func TestPoliciesAreCheapEnoughForTheLargestPods(t *testing.T) {
	c := kubernetes(t)
	pod := plain("shop", "data/orders")
	for i := range 400 {
		c := corev1.Container{Name: fmt.Sprintf("c%d", i), Image: "x", SecurityContext: &corev1.SecurityContext{
			Capabilities: &corev1.Capabilities{Add: []corev1.Capability{"CHOWN", "KILL", "MKNOD", "SETUID", "SETGID"}},
		}}
		for j := range 20 {
			c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: fmt.Sprintf("v%d", j), MountPath: fmt.Sprintf("/v%d", j)})
		}
		pod.Spec.Containers = append(pod.Spec.Containers, c)
	}
	for j := range 200 {
		v := corev1.Volume{Name: fmt.Sprintf("v%d", j), VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{}}}
		for range 20 {
			v.Projected.Sources = append(v.Projected.Sources, corev1.VolumeProjection{Secret: &corev1.SecretProjection{
				LocalObjectReference: corev1.LocalObjectReference{Name: "s"},
			}})
		}
		pod.Spec.Volumes = append(pod.Spec.Volumes, v)
	}
	for i := range 3000 {
		pod.Annotations[fmt.Sprintf("example.com/a-name-of-some-length-%d", i)] = "a value of some length"
	}
	raw, err := json.Marshal(pod)
	if err != nil {
		t.Fatal(err)
	}
	other := pod.DeepCopy() // what the policy for all other pods costs
	delete(other.Annotations, injection.Annotation)
	for _, pod := range []*corev1.Pod{pod, other} {
		if err := c.client.Create(t.Context(), pod, client.DryRunAll); err != nil {
			t.Errorf("a pod of %d kB: %.2000v", len(raw)/1000, err)
		}
	}
}

func TestUninstallingLeavesNothingThatBlocksPods(t *testing.T) {
	c := kubernetes(t)
	c.withoutWebhook(t)
	c.Kubectl(t, "delete", "-f", "../../config/admission/injected-pods.yaml", "-f", "../../config/admission/other-pods.yaml",
		"-f", "../../config/admission/pod-updates.yaml", "-f", "../../config/admission/debugging.yaml",
		"-f", "../../config/admission/identity.yaml", "-f", "../../config/admission/approvals.yaml")
	t.Cleanup(func() {
		ctx, cancel := contextWithPatience()
		defer cancel()
		if err := c.policies(ctx); err != nil {
			t.Error(err)
		}
	})
	if err := eventually(func() error {
		return c.client.Create(t.Context(), plain("shop", "data/orders"), client.DryRunAll)
	}); err != nil {
		t.Errorf("a pod with our annotation: %v", err)
	}
}
