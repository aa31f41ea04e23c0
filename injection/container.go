package injection

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Settings are what the operator is configured with and every injected pod has in common.
type Settings struct {
	// Image of the proxy, as the operator is configured. It is what pods are injected with.
	Image string
	// OlderImages are images of pods that were injected before, and are believed as well: those of the versions from
	// which an upgrade is under way. No other image is trusted with credentials.
	OlderImages []string
	// PullPolicy of the image. Left out, IfNotPresent.
	PullPolicy corev1.PullPolicy
	// Operator is host:port of the operator's service for proxies.
	Operator string
}

// Check says what in the settings is missing.
func (s *Settings) Check() error {
	if s.Image == "" {
		return errors.New("injection: no image of the proxy is configured")
	}
	if host, port, _ := strings.Cut(s.Operator, ":"); host == "" || port == "" {
		return fmt.Errorf("injection: the operator's address %q is not host:port", s.Operator)
	}
	return nil
}

// trusts reports whether a container with the image may be the proxy.
func (s *Settings) trusts(image string) bool {
	return image != "" && (image == s.Image || slices.Contains(s.OlderImages, image))
}

// nativeSince is the minor version of Kubernetes 1 that serves native sidecars without having to be told to (KEP-753).
const nativeSince = 29

// ServesNativeSidecars judges an API server's version, as it tells it: major "1", minor "37" or "37+". A version that
// cannot be read serves none.
func ServesNativeSidecars(major, minor string) bool {
	one, err := strconv.Atoi(major)
	if err != nil {
		return false
	}
	digits, _, _ := strings.Cut(minor, "+")
	n, err := strconv.Atoi(digits)
	return err == nil && (one > 1 || one == 1 && n >= nativeSince)
}

// DefaultResources are what a proxy asks for unless the operator or the pod says otherwise. It has no limit of CPU time:
// being throttled would show as latency of every query.
func DefaultResources() corev1.ResourceRequirements {
	return corev1.ResourceRequirements{
		Requests: corev1.ResourceList{
			corev1.ResourceCPU: resource.MustParse("10m"), corev1.ResourceMemory: resource.MustParse("48Mi"),
		},
		Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("256Mi")},
	}
}

// Args are the proxy's arguments.
func Args(operator string, status *Status) []string {
	args := []string{
		"run", "--operator", operator, "--identity", IdentityPath, "--spool", SpoolPath,
		"--health", fmt.Sprintf("0.0.0.0:%d", status.HealthPort),
	}
	args = append(args, "--spool-limit", threeQuarters(status.SpoolSize))
	if status.MemoryLimit != "" {
		args = append(args, "--memory-limit", threeQuarters(status.MemoryLimit))
	}
	if status.LogLevel != LogInfo {
		args = append(args, "--log-level", string(status.LogLevel))
	}
	for _, name := range status.DataSources {
		args = append(args, "--data-source", name)
	}
	return args
}

// Container is the proxy's container, without resources. Everything that an API server would fill in is said, so that
// what comes back from one is the same.
func Container(s *Settings, status *Status) corev1.Container {
	c := corev1.Container{
		Name:                     ContainerName,
		Image:                    s.Image,
		ImagePullPolicy:          s.PullPolicy,
		Args:                     Args(s.Operator, status),
		Env:                      environment(),
		SecurityContext:          securityContext(),
		TerminationMessagePath:   corev1.TerminationMessagePathDefault,
		TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
		StartupProbe:             probe(ReadyPath, status.HealthPort, 1, 120),
		LivenessProbe:            probe(LivePath, status.HealthPort, 10, 6),
		VolumeMounts: []corev1.VolumeMount{
			{Name: IdentityVolume, MountPath: IdentityPath, ReadOnly: true},
			{Name: SpoolVolume, MountPath: SpoolPath},
		},
	}
	if c.ImagePullPolicy == "" {
		c.ImagePullPolicy = corev1.PullIfNotPresent
	}
	if status.Sidecar == ModeNative {
		always := corev1.ContainerRestartPolicyAlways
		c.RestartPolicy = &always
	}
	return c
}

// environment is what the proxy claims about itself in logs. The operator believes its token alone.
func environment() []corev1.EnvVar {
	field := func(name, path string) corev1.EnvVar {
		return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{
			FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: path},
		}}
	}
	return []corev1.EnvVar{
		field("POD_NAME", "metadata.name"), field("POD_NAMESPACE", "metadata.namespace"), field("POD_UID", "metadata.uid"),
	}
}

// securityContext passes Pod Security "restricted". Listening on ports above 1023 needs no capability at all.
func securityContext() *corev1.SecurityContext {
	yes, no, user := true, false, UserID
	return &corev1.SecurityContext{
		Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		Privileged:               &no,
		RunAsUser:                &user,
		RunAsGroup:               &user,
		RunAsNonRoot:             &yes,
		ReadOnlyRootFilesystem:   &yes,
		AllowPrivilegeEscalation: &no,
		SeccompProfile:           &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
	}
}

func probe(path string, port, period, failures int32) *corev1.Probe {
	return &corev1.Probe{
		ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{
			Path: path, Port: intstr.FromInt32(port), Scheme: corev1.URISchemeHTTP,
		}},
		TimeoutSeconds: 2, PeriodSeconds: period, SuccessThreshold: 1, FailureThreshold: failures,
	}
}

// Volumes are the two volumes that the proxy alone mounts. Their files are readable by every user, because the pod's
// owner may have no group in common with the proxy; who can read them is decided by who mounts them.
func Volumes(status *Status) ([]corev1.Volume, error) {
	limit, err := resource.ParseQuantity(status.SpoolSize)
	if err != nil {
		return nil, fmt.Errorf("spool size: %w", err)
	}
	seconds, mode := TokenSeconds, corev1.ProjectedVolumeSourceDefaultMode
	identity := &corev1.ProjectedVolumeSource{
		DefaultMode: &mode,
		Sources: []corev1.VolumeProjection{
			{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{
				Audience: Audience, ExpirationSeconds: &seconds, Path: TokenFile,
			}},
			{ConfigMap: &corev1.ConfigMapProjection{
				LocalObjectReference: corev1.LocalObjectReference{Name: CAConfigMap},
				Items:                []corev1.KeyToPath{{Key: CAFile, Path: CAFile}},
			}},
		},
	}
	return []corev1.Volume{
		{Name: IdentityVolume, VolumeSource: corev1.VolumeSource{Projected: identity}},
		{Name: SpoolVolume, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{SizeLimit: &limit}}},
	}, nil
}
