package main

import (
	"context"
	"fmt"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"k8s.io/klog/v2"

	"github.com/tidewaiter/tidewaiter/plugin/reader"
	"github.com/tidewaiter/tidewaiter/recording/store"
)

// operatorFlags are what commands share that read recordings through the operator.
type operatorFlags struct {
	namespace string // of the operator
	url       string
	as        string
}

func (o *operatorFlags) register(cmd *cobra.Command, k *kubeFlags) {
	f := cmd.Flags()
	f.StringVar(&o.namespace, "operator-namespace", reader.DefaultNamespace, "`namespace` that the operator is in")
	f.StringVar(&o.url, "recordings-url", "", "`https://host:port` of the operator's server for recordings (default: a port-forward to one of its pods)")
	f.StringVar(&o.as, "as-reader", "", "service account to read as, as `namespace/name` (default: "+reader.DefaultAccount+" in the operator's namespace)")
	_ = cmd.RegisterFlagCompletionFunc("operator-namespace", k.complete(namespaceNames))
	_ = cmd.RegisterFlagCompletionFunc("recordings-url", cobra.NoFileCompletions)
	_ = cmd.RegisterFlagCompletionFunc("as-reader", cobra.NoFileCompletions)
}

// options are those of a reader. Within confines lists to a namespace; empty, they are of all.
func (o *operatorFlags) options(k *kubeFlags, within string) (reader.Options, error) {
	klog.SetLogger(logr.Discard()) // what a port-forward complains of comes back as an error
	config, err := k.config.ToRESTConfig()
	if err != nil {
		return reader.Options{}, fmt.Errorf("no cluster to speak to: %w: set KUBECONFIG, or use --kubeconfig and --context", err)
	}
	return reader.Options{Config: config, Namespace: o.namespace, As: o.as, URL: o.url, Within: within}, nil
}

// open returns the operator's recordings, and what ends the way there.
func (o *operatorFlags) open(ctx context.Context, k *kubeFlags, within string) (store.Source, func() error, error) {
	options, err := o.options(k, within)
	if err != nil {
		return nil, nil, err
	}
	return reader.Open(ctx, options)
}
