package kubetest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// User is the configuration for clients that are a user with some groups, by a certificate. The server asks RBAC what the user
// may do: nothing, until a binding says so.
func (s *Server) User(t testing.TB, name string, groups ...string) *rest.Config {
	t.Helper()
	s.users.Lock()
	defer s.users.Unlock()
	user, err := s.environment.AddUser(envtest.User{Name: name, Groups: groups}, nil)
	if err != nil {
		t.Fatalf("making the user %s: %v", name, err)
	}
	return user.Config()
}

// WriteKubeConfig writes a configuration as a file for kubectl, in the server's folder, and returns its name.
func (s *Server) WriteKubeConfig(name string, config *rest.Config) (string, error) {
	const one = "kubetest"
	file := clientcmdapi.NewConfig()
	file.CurrentContext = one
	file.Contexts[one] = &clientcmdapi.Context{Cluster: one, AuthInfo: one}
	file.Clusters[one] = &clientcmdapi.Cluster{Server: config.Host, CertificateAuthorityData: config.CAData}
	file.AuthInfos[one] = &clientcmdapi.AuthInfo{
		ClientCertificateData: config.CertData, ClientKeyData: config.KeyData, Token: config.BearerToken, TokenFile: config.BearerTokenFile,
	}
	path := filepath.Join(s.dir, name+".kubeconfig")
	if err := clientcmd.WriteToFile(*file, path); err != nil {
		return "", fmt.Errorf("writing a configuration for kubectl: %w", err)
	}
	return path, nil
}

// Command is kubectl with arguments, by the user of [Server.KubeConfig] unless the arguments name another one.
func (s *Server) Command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(s.BinDir, "kubectl"), args...)
	// Nothing of the person's own configuration, and no file outside of the server's folder.
	cmd.Env = append(os.Environ(), "KUBECONFIG="+s.KubeConfig, "KUBECACHEDIR="+filepath.Join(s.dir, "cache"), "KUBERC=off")
	return cmd
}

// Kubectl runs kubectl and returns what it prints. It fails the test with what kubectl complains of if the status is not 0.
func (s *Server) Kubectl(t testing.TB, args ...string) string {
	t.Helper()
	return run(t, s.Command(t.Context(), args...))
}

// Apply is kubectl apply for manifests in YAML, with more arguments.
func (s *Server) Apply(t testing.TB, manifests string, args ...string) string {
	t.Helper()
	cmd := s.Command(t.Context(), append([]string{"apply", "-f", "-"}, args...)...)
	cmd.Stdin = strings.NewReader(manifests)
	return run(t, cmd)
}

func run(t testing.TB, cmd *exec.Cmd) string {
	t.Helper()
	var out, complaints strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &complaints
	if err := cmd.Run(); err != nil {
		t.Fatalf("kubectl %s: %v\n%s%s", strings.Join(cmd.Args[1:], " "), err, out.String(), complaints.String())
	}
	return out.String()
}

// minTokenSeconds is the shortest life that an API server gives to a token.
const minTokenSeconds = 600

// PodToken asks for a token of a Pod's service account that is bound to the Pod, as a kubelet does for a projected volume. It is
// valid for ten minutes. Service account and Pod must be there.
func (s *Server) PodToken(ctx context.Context, pod *corev1.Pod, audiences ...string) (string, error) {
	kubelet := rest.CopyConfig(s.Config)
	// A node by its group; of what it may do, the administrators' group sees to.
	kubelet.Impersonate = rest.ImpersonationConfig{UserName: "system:node:kubetest", Groups: []string{"system:nodes", "system:masters"}}
	return token(ctx, kubelet, pod.Namespace, pod.Spec.ServiceAccountName, authenticationv1.TokenRequestSpec{
		Audiences: audiences,
		BoundObjectRef: &authenticationv1.BoundObjectReference{
			APIVersion: "v1", Kind: "Pod", Name: pod.Name, UID: pod.UID,
		},
	})
}

// UnboundToken asks for a token of a service account that is bound to no Pod: what kubectl create token gives.
func (s *Server) UnboundToken(ctx context.Context, namespace, serviceAccount string, audiences ...string) (string, error) {
	return token(ctx, s.Config, namespace, serviceAccount, authenticationv1.TokenRequestSpec{Audiences: audiences})
}

func token(ctx context.Context, config *rest.Config, namespace, account string, spec authenticationv1.TokenRequestSpec) (string, error) {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return "", err
	}
	if account == "" {
		account = defaultAccount
	}
	seconds := int64(minTokenSeconds)
	spec.ExpirationSeconds = &seconds
	request := &authenticationv1.TokenRequest{Spec: spec}
	answer, err := client.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, account, request, metav1.CreateOptions{})
	if err != nil {
		return "", fmt.Errorf("asking for a token of service account %s/%s: %w", namespace, account, err)
	}
	return answer.Status.Token, nil
}
