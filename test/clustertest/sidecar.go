package clustertest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tidewaiter/tidewaiter/injection"
	"github.com/tidewaiter/tidewaiter/test/postgrestest"
)

// Sidecar is the proxy of an injected pod, as a process.
type Sidecar struct {
	// Pod whose sidecar it is.
	Pod *corev1.Pod
	// Args and Env are what the process was started with.
	Args, Env []string

	health  string
	process *postgrestest.Process
}

// CreatePod creates a pod from a manifest, as its author, and says that it runs, as a kubelet would.
func (c *Cluster) CreatePod(ctx context.Context, manifest string) (*corev1.Pod, error) {
	out, err := c.Kubectl(ctx, manifest, "create", "-f", "-", "-o", "jsonpath={.metadata.namespace} {.metadata.name}")
	if err != nil {
		return nil, err
	}
	ns, name, _ := strings.Cut(out, " ")
	return c.Runs(ctx, ns, name)
}

// Runs says that a pod runs, as a kubelet would, and returns it.
func (c *Cluster) Runs(ctx context.Context, ns, name string) (*corev1.Pod, error) {
	pods := c.Client.CoreV1().Pods(ns)
	pod, err := pods.Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	pod.Status.Phase = corev1.PodRunning
	return pods.UpdateStatus(ctx, pod, metav1.UpdateOptions{})
}

// RunSidecar runs the proxy of a pod with its container's own arguments and environment. Paths of the container become
// folders of this machine, and nothing else is changed. It does not wait until the proxy is ready.
func (c *Cluster) RunSidecar(ctx context.Context, pod *corev1.Pod) (*Sidecar, error) {
	container, err := proxyContainer(pod)
	if err != nil {
		return nil, err
	}
	folder := filepath.Join(c.dir, "pods", string(pod.UID))
	if err := c.mount(ctx, pod, folder); err != nil {
		return nil, err
	}
	paths := strings.NewReplacer(injection.IdentityPath, filepath.Join(folder, "identity"), injection.SpoolPath, filepath.Join(folder, "spool"))
	s := &Sidecar{Pod: pod, Env: environment(container, pod)}
	for i, arg := range container.Args {
		s.Args = append(s.Args, paths.Replace(arg))
		if i > 0 && container.Args[i-1] == "--health" {
			_, port, err := net.SplitHostPort(arg)
			if err != nil {
				return nil, err
			}
			s.health = "http://127.0.0.1:" + port
		}
	}
	cmd := exec.Command(filepath.Join(c.dir, "tidewaiter-proxy"), s.Args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = s.Env, c.opt.Log, c.opt.Log
	s.process, err = postgrestest.StartProcess(cmd)
	return s, err
}

func proxyContainer(pod *corev1.Pod) (*corev1.Container, error) {
	for _, containers := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range containers {
			if containers[i].Name == injection.ContainerName {
				return &containers[i], nil
			}
		}
	}
	return nil, fmt.Errorf("pod %s/%s has no container %s: it was not injected", pod.Namespace, pod.Name, injection.ContainerName)
}

// mount makes the two volumes as a kubelet would: the projected one with token and CA, and the empty one.
func (c *Cluster) mount(ctx context.Context, pod *corev1.Pod, folder string) error {
	identity := filepath.Join(folder, "identity")
	if err := errors.Join(makeShared(folder), makeShared(identity), makeShared(filepath.Join(folder, "spool"))); err != nil {
		return err
	}
	token, err := c.API.PodToken(ctx, pod, injection.Audience)
	if err != nil {
		return err
	}
	var ca *corev1.ConfigMap
	err = Until(ctx, "namespace "+pod.Namespace+" has the operator's CA", func(ctx context.Context) error {
		ca, err = c.Client.CoreV1().ConfigMaps(pod.Namespace).Get(ctx, injection.CAConfigMap, metav1.GetOptions{})
		return err
	})
	if err != nil {
		return err
	}
	return errors.Join(
		writeReadable(filepath.Join(identity, injection.TokenFile), []byte(token)),
		writeReadable(filepath.Join(identity, injection.CAFile), []byte(ca.Data[injection.CAFile])),
	)
}

// environment resolves a container's environment as a kubelet does, as far as ours needs it.
func environment(container *corev1.Container, pod *corev1.Pod) []string {
	fields := map[string]string{"metadata.name": pod.Name, "metadata.namespace": pod.Namespace, "metadata.uid": string(pod.UID)}
	var out []string
	for _, v := range container.Env {
		value := v.Value
		if v.ValueFrom != nil && v.ValueFrom.FieldRef != nil {
			value = fields[v.ValueFrom.FieldRef.FieldPath]
		}
		out = append(out, v.Name+"="+value)
	}
	return out
}

// Environment is what the pod's first own container finds in its environment.
func Environment(pod *corev1.Pod) []string { return environment(&pod.Spec.Containers[0], pod) }

// Ready waits until the sidecar's startup probe would pass.
func (s *Sidecar) Ready(ctx context.Context) error {
	return ready(ctx, s.process, s.health+injection.ReadyPath, "the sidecar of "+s.Pod.Name)
}

// Probe asks the sidecar's readiness once.
func (s *Sidecar) Probe(ctx context.Context) error { return get(ctx, s.health+injection.ReadyPath) }

// PID is the sidecar's process.
func (s *Sidecar) PID() int { return s.process.PID() }

// Stop ends the sidecar as a kubelet would.
func (s *Sidecar) Stop() error { return s.process.Stop(os.Interrupt, stopPatience) }

// Kill ends it as a crash would.
func (s *Sidecar) Kill() error { return s.process.Stop(os.Kill, stopPatience) }
