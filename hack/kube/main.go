// Command kube is etcd, kube-apiserver and kubectl in one binary: what controller-runtime's envtest starts, and what people
// type. It is the one that its file is called by: hack/kube/assets builds it once and links the three names to it. One binary
// links in a third of the time and disk of three, since they share nearly everything.
//
// It is a module of its own so that Kubernetes' requirements stay out of Tidewaiter's, and must not know Tidewaiter.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"          // --logging-format=json
	_ "k8s.io/component-base/metrics/prometheus/clientgo" // the API server's own metrics, as released
	_ "k8s.io/component-base/metrics/prometheus/version"  // kubernetes_build_info
	kubectl "k8s.io/kubectl/pkg/cmd"
	kubectlerror "k8s.io/kubectl/pkg/cmd/util"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
)

func main() {
	switch name := filepath.Base(os.Args[0]); name {
	case "etcd":
		etcdmain.Main(os.Args)
	case "kube-apiserver":
		os.Exit(cli.Run(apiserver.NewAPIServerCommand()))
	case "kubectl":
		if err := cli.RunNoErrOutput(kubectl.NewDefaultKubectlCommand()); err != nil {
			kubectlerror.CheckErr(err)
		}
	default:
		fmt.Fprintf(os.Stderr, "kube: called as %q; call it as etcd, kube-apiserver or kubectl (links to this file)\n", name)
		os.Exit(2)
	}
}
