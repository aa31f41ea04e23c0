package injection

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var (
	enabled  = map[string]string{NamespaceLabel: NamespaceEnabled}
	settings = &Settings{Image: "proxy:v1", Operator: OperatorAddress}
)

// injected is a pod as injection leaves it.
func injected(t *testing.T) *corev1.Pod {
	t.Helper()
	status := &Status{
		Version: StatusVersion, DataSources: []string{"data/ledger", "data/orders"}, Sidecar: ModeNative,
		HealthPort: HealthPort, LogLevel: LogInfo, SpoolSize: "1Gi",
	}
	text, err := status.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	volumes, err := Volumes(status)
	if err != nil {
		t.Fatal(err)
	}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: "web", Namespace: "shop", Labels: map[string]string{InjectedLabel: Injected},
			Annotations: map[string]string{Annotation: "data/orders,data/ledger", StatusAnnotation: text},
		},
		Spec: corev1.PodSpec{
			InitContainers: []corev1.Container{Container(settings, status), {Name: "migrate"}},
			Containers:     []corev1.Container{{Name: "web"}},
			Volumes:        append(volumes, corev1.Volume{Name: "own"}),
		},
	}
}

func TestAPodAsInjectionLeftItIsBelieved(t *testing.T) {
	status, err := Verify(injected(t), enabled, settings)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(status.DataSources, " "); got != "data/ledger data/orders" {
		t.Errorf("data sources %s", got)
	}
}

func TestEveryAlterationIsRefusedWithItsReason(t *testing.T) {
	yes, root := true, int64(0)
	ours := func(p *corev1.Pod) *corev1.Container { return &p.Spec.InitContainers[0] }
	for name, tc := range map[string]struct {
		alter func(p *corev1.Pod)
		want  Reason
		field string
	}{
		"no label":             {func(p *corev1.Pod) { p.Labels = nil }, ReasonNotInjected, "metadata"},
		"no status":            {func(p *corev1.Pod) { delete(p.Annotations, StatusAnnotation) }, ReasonNotInjected, "metadata"},
		"status of nothing":    {func(p *corev1.Pod) { p.Annotations[StatusAnnotation] = "{}" }, ReasonAltered, "status"},
		"status with spaces":   {func(p *corev1.Pod) { p.Annotations[StatusAnnotation] += " " }, ReasonAltered, "status"},
		"status too long":      {func(p *corev1.Pod) { p.Annotations[StatusAnnotation] = strings.Repeat(" ", 9000) }, ReasonAltered, "status"},
		"more sources":         {addSource, ReasonAltered, "args"},
		"no container":         {func(p *corev1.Pod) { p.Spec.InitContainers = p.Spec.InitContainers[1:] }, ReasonAltered, ContainerName},
		"not a native sidecar": {func(p *corev1.Pod) { ours(p).RestartPolicy = nil }, ReasonAltered, "restartPolicy"},
		"in the wrong list": {func(p *corev1.Pod) {
			p.Spec.Containers = append(p.Spec.Containers, *ours(p))
			p.Spec.InitContainers = p.Spec.InitContainers[1:]
		}, ReasonAltered, ContainerName},
		"twice":            {func(p *corev1.Pod) { p.Spec.Containers = append(p.Spec.Containers, *ours(p)) }, ReasonAltered, ContainerName},
		"other image":      {func(p *corev1.Pod) { ours(p).Image = "evil:1" }, ReasonWrongImage, "image"},
		"no image":         {func(p *corev1.Pod) { ours(p).Image = "" }, ReasonWrongImage, "image"},
		"command":          {func(p *corev1.Pod) { ours(p).Command = []string{"/bin/sh"} }, ReasonAltered, "command"},
		"other operator":   {func(p *corev1.Pod) { ours(p).Args[2] = "evil:8443" }, ReasonAltered, "args"},
		"another argument": {func(p *corev1.Pod) { ours(p).Args = append(ours(p).Args, "--debug-memory") }, ReasonAltered, "args"},
		"a variable": {func(p *corev1.Pod) {
			ours(p).Env = append(ours(p).Env, corev1.EnvVar{Name: "SSL_CERT_FILE", Value: "/x"})
		}, ReasonAltered, "env"},
		"variables of many": {func(p *corev1.Pod) { ours(p).EnvFrom = []corev1.EnvFromSource{{Prefix: "X"}} }, ReasonAltered, "other"},
		"root":              {func(p *corev1.Pod) { ours(p).SecurityContext.RunAsUser = &root }, ReasonAltered, "securityContext"},
		"no security":       {func(p *corev1.Pod) { ours(p).SecurityContext = nil }, ReasonAltered, "securityContext"},
		"a mount over ours": {func(p *corev1.Pod) {
			ours(p).VolumeMounts = append(ours(p).VolumeMounts, corev1.VolumeMount{Name: "own", MountPath: IdentityPath + "/ca.crt"})
		}, ReasonAltered, "volumeMounts"},
		"identity of others": {func(p *corev1.Pod) { ours(p).VolumeMounts[0].Name = "own" }, ReasonAltered, "volumeMounts"},
		"a probe that runs":  {func(p *corev1.Pod) { ours(p).LivenessProbe = exec() }, ReasonAltered, "livenessProbe"},
		"a ready probe":      {func(p *corev1.Pod) { ours(p).ReadinessProbe = exec() }, ReasonAltered, "other"},
		"a hook":             {func(p *corev1.Pod) { ours(p).Lifecycle = &corev1.Lifecycle{} }, ReasonAltered, "other"},
		"a terminal":         {func(p *corev1.Pod) { ours(p).Stdin = true }, ReasonAltered, "other"},
		"no volume":          {func(p *corev1.Pod) { p.Spec.Volumes = p.Spec.Volumes[1:] }, ReasonAltered, IdentityVolume},
		"CA of others": {func(p *corev1.Pod) {
			p.Spec.Volumes[0].Projected.Sources[1].ConfigMap.Name = "mine"
		}, ReasonAltered, IdentityVolume},
		"spool of the node": {func(p *corev1.Pod) {
			p.Spec.Volumes[1].VolumeSource = corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/tmp"}}
		}, ReasonAltered, SpoolVolume},
		"a mount of ours": {func(p *corev1.Pod) {
			p.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: IdentityVolume, MountPath: "/x"}}
		}, ReasonReachesProxy, "volumeMounts"},
		"our token": {func(p *corev1.Pod) {
			p.Spec.Volumes[2].Projected = &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
				{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Audience: Audience}},
			}}
		}, ReasonReachesProxy, "audience"},
		"shared processes":  {func(p *corev1.Pod) { p.Spec.ShareProcessNamespace = &yes }, ReasonReachesProxy, "shareProcessNamespace"},
		"the node's":        {func(p *corev1.Pod) { p.Spec.HostPID = true }, ReasonReachesProxy, "hostPID"},
		"the node's net":    {func(p *corev1.Pod) { p.Spec.HostNetwork = true }, ReasonReachesProxy, "hostNetwork"},
		"a debug container": {func(p *corev1.Pod) { p.Spec.EphemeralContainers = make([]corev1.EphemeralContainer, 1) }, ReasonReachesProxy, "ephemeralContainers"},
		"nobody beside": {func(p *corev1.Pod) {
			p.Annotations[StatusAnnotation] = strings.Replace(p.Annotations[StatusAnnotation], `"Native"`, `"Container"`, 1)
			p.Spec.InitContainers, p.Spec.Containers = p.Spec.InitContainers[1:], []corev1.Container{*ours(p)}
			p.Spec.Containers[0].RestartPolicy = nil
		}, ReasonReachesProxy, "spec.containers"},
		"our user": {func(p *corev1.Pod) {
			user := UserID
			p.Spec.InitContainers[1].SecurityContext = &corev1.SecurityContext{RunAsUser: &user}
		}, ReasonReachesProxy, "runAsUser"},
	} {
		pod := injected(t)
		tc.alter(pod)
		_, err := Verify(pod, enabled, settings)
		if ReasonOf(err) != tc.want || !strings.Contains(err.Error(), tc.field) {
			t.Errorf("%s: %v (%s), want %s at %s", name, err, ReasonOf(err), tc.want, tc.field)
		}
	}
}

// addSource changes the status in the way in which it would give the pod more than its container was made for.
func addSource(p *corev1.Pod) {
	p.Annotations[StatusAnnotation] = strings.Replace(p.Annotations[StatusAnnotation], `"data/orders"`, `"data/orders","data/payroll"`, 1)
}

func exec() *corev1.Probe {
	return &corev1.Probe{ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"cat"}}}}
}

func TestNativeSidecarsAreServedSince129(t *testing.T) {
	for version, want := range map[[2]string]bool{
		{"1", "28"}: false, {"1", "29"}: true, {"1", "37+"}: true, {"2", "0"}: true, {"", ""}: false, {"1", "x"}: false, {"0", "99"}: false,
	} {
		if got := ServesNativeSidecars(version[0], version[1]); got != want {
			t.Errorf("%v: %v", version, got)
		}
	}
}

func TestDuringAnUpgradePodsOfTheOlderImageAreBelieved(t *testing.T) {
	newer := &Settings{Image: "proxy:v2", OlderImages: []string{settings.Image}, Operator: settings.Operator}
	if _, err := Verify(injected(t), enabled, newer); err != nil {
		t.Error(err)
	}
	newer.OlderImages = []string{"proxy:v0", ""}
	if _, err := Verify(injected(t), enabled, newer); ReasonOf(err) != ReasonWrongImage {
		t.Error(err)
	}
}

func TestANamespaceThatIsNotOptedInHasNoInjectedPods(t *testing.T) {
	for _, labels := range []map[string]string{nil, {NamespaceLabel: "disabled"}, {NamespaceLabel: ""}} {
		if _, err := Verify(injected(t), labels, settings); ReasonOf(err) != ReasonNamespaceNotEnabled {
			t.Errorf("%v: %v", labels, err)
		}
	}
}

func TestAMeshMayProgramTheNetworkOnlyWhereTheNamespaceSaysSo(t *testing.T) {
	add := func(name string, mode *corev1.ContainerRestartPolicy) *corev1.Pod {
		p := injected(t)
		p.Spec.InitContainers = append(p.Spec.InitContainers, corev1.Container{
			Name: name, RestartPolicy: mode,
			SecurityContext: &corev1.SecurityContext{Capabilities: &corev1.Capabilities{Add: []corev1.Capability{"NET_ADMIN"}}},
		})
		return p
	}
	trusted := map[string]string{NamespaceLabel: NamespaceEnabled, MeshInitLabel: MeshInitAllowed}
	always := corev1.ContainerRestartPolicyAlways
	for _, tc := range []struct {
		pod    *corev1.Pod
		labels map[string]string
		want   Reason
	}{
		{add("istio-init", nil), trusted, ""},
		{add("istio-init", nil), enabled, ReasonReachesProxy},
		{add("istio-init", &always), trusted, ReasonReachesProxy},
		{add("other-init", nil), trusted, ReasonReachesProxy},
	} {
		if _, err := Verify(tc.pod, tc.labels, settings); ReasonOf(err) != tc.want {
			t.Errorf("%s: %v, want %q", tc.pod.Spec.InitContainers[2].Name, err, tc.want)
		}
	}
}
