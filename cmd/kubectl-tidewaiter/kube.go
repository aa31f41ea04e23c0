package main

import (
	"context"
	"fmt"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/printers"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/tidewaiter/tidewaiter/plugin/cluster"
)

// kubeFlags are what commands share that speak to a cluster: kubectl's own flags, and -o.
type kubeFlags struct {
	streams
	config        *genericclioptions.ConfigFlags
	allNamespaces bool
	output        string
	outputs       []string
	color         string
}

// seldom are flags of kubectl that are taken, and left out of the help: it is read for what a command does.
var seldom = []string{
	"as-uid", "as-user-extra", "cache-dir", "certificate-authority", "client-certificate", "client-key", "disable-compression", "insecure-skip-tls-verify",
	"tls-server-name", "token", "proxy-url", "server", "user", "cluster",
}

// register adds the flags. Outputs are the values of -o beside the text for people; all says that -A makes sense.
func (k *kubeFlags) register(cmd *cobra.Command, all bool, outputs ...string) {
	k.config = genericclioptions.NewConfigFlags(true)
	f := cmd.Flags()
	k.config.AddFlags(f)
	for _, name := range seldom {
		_ = f.MarkHidden(name) // it exists
	}
	for name, usage := range map[string]string{
		"kubeconfig": "`file` with clusters and users (default as kubectl has it)", "context": "`name` of the kubeconfig's context",
		"namespace": "`namespace` (default: the context's)", "as": "`user` to be, as RBAC on impersonate allows",
		"as-group": "`group` to be in, with --as; may be repeated", "request-timeout": "`time` after which one request to the server is given up, such as 10s (default: never)",
	} {
		f.Lookup(name).Usage = usage
		if name != "as-group" { // an empty list is not printed anyway
			f.Lookup(name).DefValue = ""
		}
	}
	if all {
		f.BoolVarP(&k.allNamespaces, "all-namespaces", "A", false, "all namespaces")
		cmd.MarkFlagsMutuallyExclusive("all-namespaces", "namespace")
	}
	k.outputs = outputs
	if len(outputs) > 0 {
		f.StringVarP(&k.output, "output", "o", "", "`format`: "+strings.Join(outputs, ", ")+" (default: text for a person)")
		_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(outputs, cobra.ShellCompDirectiveNoFileComp))
	}
	f.StringVar(&k.color, "color", "auto", "`when` to use colors: auto (on a terminal), always or never")
	_ = cmd.RegisterFlagCompletionFunc("color", cobra.FixedCompletions([]string{"auto", "always", "never"}, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("namespace", k.complete(namespaceNames))
	_ = cmd.RegisterFlagCompletionFunc("context", k.completeContexts)
}

// check refuses what -o cannot be, before anything is asked.
func (k *kubeFlags) check() error {
	if k.output == "" || slices.Contains(k.outputs, k.output) {
		return nil
	}
	return fmt.Errorf("-o %s: it is one of %s", k.output, strings.Join(k.outputs, ", "))
}

// connect reads the kubeconfig. What client-go would log goes nowhere: errors come back and are reported once.
func (k *kubeFlags) connect() (*cluster.Cluster, error) {
	klog.SetLogger(logr.Discard())
	ctrllog.SetLogger(logr.Discard())
	if err := k.check(); err != nil {
		return nil, err
	}
	config, err := k.config.ToRESTConfig()
	if err != nil {
		return nil, fmt.Errorf("no cluster to speak to: %w: set KUBECONFIG, or use --kubeconfig and --context", err)
	}
	namespace, _, err := k.config.ToRawKubeConfigLoader().Namespace()
	if err != nil {
		return nil, fmt.Errorf("no namespace: %w: use -n", err)
	}
	return cluster.New(config, namespace, k.err)
}

// scope is the namespace to list in: empty for all.
func (k *kubeFlags) scope(c *cluster.Cluster) string {
	if k.allNamespaces {
		return ""
	}
	return c.Namespace
}

// object prints an object or a list as -o says: json, yaml or name.
func (k *kubeFlags) object(obj runtime.Object) error {
	scheme, err := cluster.Scheme()
	if err != nil {
		return err
	}
	if meta.IsListType(obj) { // a client leaves out of items what the list says already
		err := meta.EachListItem(obj, func(item runtime.Object) error {
			gvk, err := apiutil.GVKForObject(item, scheme)
			item.GetObjectKind().SetGroupVersionKind(gvk)
			if err == nil && k.output == "name" { // its printer takes no lists
				err = k.object(item)
			}
			return err
		})
		if err != nil || k.output == "name" {
			return err
		}
	}
	var p printers.ResourcePrinter
	switch k.output {
	case "json":
		p = &printers.JSONPrinter{}
	case "yaml":
		p = &printers.YAMLPrinter{}
	default:
		p = &printers.NamePrinter{}
	}
	return printers.NewTypeSetter(scheme).ToPrinter(&printers.OmitManagedFieldsPrinter{Delegate: p}).PrintObj(obj, k.out)
}

// machine says whether -o asks for something that programs read.
func (k *kubeFlags) machine() bool { return k.output != "" && k.output != "wide" }

// untilSignal ends with SIGINT or SIGTERM.
func untilSignal(ctx context.Context) (context.Context, context.CancelFunc) {
	if ctx == nil {
		ctx = context.Background()
	}
	return signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
}
