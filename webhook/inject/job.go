package inject

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/tidewaiter/tidewaiter/injection"
	"github.com/tidewaiter/tidewaiter/webhook/annotation"
)

// job is one pod that asks for injection.
type job struct {
	pod      *corev1.Pod
	ns       Namespace
	settings *Settings
	options  *annotation.Options
	*denials

	sources   []source
	vars      []variable
	status    injection.Status
	resources corev1.ResourceRequirements
	findings  []injection.Problem
	patch     patch
}

// run is everything that happens to such a pod, in order. All problems are collected, so that one attempt shows them all.
func (j *job) run(lookup Sources) (*Result, error) {
	if err := j.settings.Check(); err != nil {
		j.addf(ReasonNotConfigured, "the operator", "ask whoever runs Tidewaiter", "%v", err)
		return nil, j.err(nil)
	}
	if j.ns.Labels[injection.NamespaceLabel] != injection.NamespaceEnabled {
		j.addf(ReasonNamespaceNotEnabled, "metadata.annotations["+injection.Annotation+"]",
			"label the namespace "+injection.NamespaceLabel+"="+injection.NamespaceEnabled,
			"namespace %s is not opted in", j.ns.Name)
		return nil, j.err(j.options.DataSources)
	}
	j.resolve(lookup)
	j.vars = j.variables()
	j.checkSidecar()
	j.checkPorts()
	j.add(ReasonReachesProxy, injection.Reaches(j.pod, j.ns.Labels)...)
	j.writeEnvironment()
	j.findCredentials()
	j.findHostPaths()
	j.findEavesdroppers()
	j.findImpostors()
	if j.settings.Strict {
		j.add(ReasonStrict, j.findings...)
	}
	j.writeStatus()
	j.writeVolumes()
	j.writeContainer()
	if err := j.err(j.options.DataSources); err != nil {
		return nil, err
	}
	return &Result{Patch: j.patch.operations, DataSources: j.options.DataSources, Warnings: warnings(j.findings)}, nil
}

// checkSidecar refuses pods in which the kind of sidecar that they ask for would not work.
func (j *job) checkSidecar() {
	field := "metadata.annotations[" + annotation.Sidecar + "]"
	if j.options.Sidecar == injection.ModeNative {
		if !j.settings.NativeSidecars {
			j.addf(ReasonNoSidecar, field, "set it to Container, if the application retries its first connection",
				"this cluster does not serve native sidecars")
		}
		return
	}
	if p := j.pod.Spec.RestartPolicy; p != "" && p != corev1.RestartPolicyAlways {
		j.addf(ReasonNoSidecar, field, "set it to Native, or restartPolicy to Always",
			"Container: a pod with restartPolicy %s would never complete, since an ordinary container keeps running", p)
	}
}

// writeStatus sets label and annotation. That they are already there is no problem if they say the same.
func (j *job) writeStatus() {
	spool := resource.MustParse("1Gi")
	if j.settings.SpoolSize != nil {
		spool = *j.settings.SpoolSize
	}
	if j.options.SpoolSize != nil {
		spool = *j.options.SpoolSize
	}
	j.status = injection.Status{
		Version: injection.StatusVersion, DataSources: j.options.DataSources, Sidecar: j.options.Sidecar,
		HealthPort: j.options.HealthPort, LogLevel: j.options.LogLevel,
		SpoolSize: injection.Size(spool),
	}
	j.resources = j.wantedResources()
	if limit, bounded := j.resources.Limits[corev1.ResourceMemory]; bounded {
		j.status.MemoryLimit = injection.Size(limit)
	}
	text, err := j.status.Marshal()
	if err != nil {
		j.addf(ReasonNotConfigured, "the operator", "ask whoever runs Tidewaiter", "the status to write: %v", err)
		return
	}
	j.writeMark("/metadata/labels", "metadata.labels", j.pod.Labels, injection.InjectedLabel, injection.Injected)
	j.writeMark("/metadata/annotations", "metadata.annotations", j.pod.Annotations, injection.StatusAnnotation, text)
}

func (j *job) writeMark(path, field string, there map[string]string, key, value string) {
	switch old, found := there[key]; {
	case found && old != value:
		j.addf(ReasonAltered, field+"["+key+"]", startOver, "is not what injection writes")
	case !found && len(there) == 0:
		j.patch.add(path, map[string]string{key: value})
	case !found:
		j.patch.add(path+"/"+escape(key), value)
	}
}

// startOver is the cure for pods that bring along what injection writes.
const startOver = "remove label " + injection.InjectedLabel + ", annotation " + injection.StatusAnnotation +
	", container " + injection.ContainerName + " and volumes " + injection.IdentityVolume + " and " + injection.SpoolVolume +
	": injection adds them itself"

// writeVolumes appends what is not there yet.
func (j *job) writeVolumes() {
	if j.status.SpoolSize == "" {
		return // writeStatus has said why
	}
	want, err := injection.Volumes(&j.status)
	if err != nil {
		j.addf(ReasonNotConfigured, "the operator", "ask whoever runs Tidewaiter", "the volumes to write: %v", err)
		return
	}
	var missing []corev1.Volume
	for i := range want {
		at := slices.IndexFunc(j.pod.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == want[i].Name })
		switch {
		case at < 0:
			missing = append(missing, want[i])
		case !injection.SameVolume(&j.pod.Spec.Volumes[at], &want[i]):
			j.taken("spec.volumes["+want[i].Name+"]", "rename the volume")
		}
	}
	if len(j.pod.Spec.Volumes) == 0 {
		j.patch.add("/spec/volumes", missing)
		return
	}
	for i := range missing {
		j.patch.add("/spec/volumes/-", missing[i])
	}
}

// taken is a name of ours on something that is not as injection writes it.
func (j *job) taken(field, rename string) {
	if _, injected := j.pod.Annotations[injection.StatusAnnotation]; injected {
		j.addf(ReasonAltered, field, startOver, "is not what injection writes")
		return
	}
	j.addf(ReasonClash, field, rename, "the name belongs to the sidecar")
}
