package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/plugin/approval"
	"github.com/tidewaiter/tidewaiter/plugin/cluster"
)

// completionTime is how long a shell waits for names; a cluster that does not answer completes nothing.
const completionTime = 3 * time.Second

// completion is what a shell calls for the rest of a word.
type completion = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective)

// names finds what may be written; in is the namespace to look in.
type names func(ctx context.Context, c *cluster.Cluster, in string) ([]string, error)

// complete asks the cluster. Names that are on the command line already are left out.
func (k *kubeFlags) complete(find names) completion {
	return func(_ *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
		ctx, cancel := context.WithTimeout(context.Background(), completionTime)
		defer cancel()
		c, err := k.connect()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		found, err := find(ctx, c, c.Namespace)
		if err != nil {
			cobra.CompDebugln(err.Error(), false)
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		out := slices.DeleteFunc(found, func(s string) bool {
			name, _, _ := strings.Cut(s, "\t")
			return !strings.HasPrefix(name, toComplete) || slices.Contains(args, name)
		})
		slices.Sort(out)
		return out, cobra.ShellCompDirectiveNoFileComp
	}
}

// completeOne is as complete, for commands that take one name.
func (k *kubeFlags) completeOne(find names) completion {
	many := k.complete(find)
	return func(cmd *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return many(cmd, args, toComplete)
	}
}

func (k *kubeFlags) completeContexts(_ *cobra.Command, _ []string, toComplete string) ([]string, cobra.ShellCompDirective) {
	raw, err := k.config.ToRawKubeConfigLoader().RawConfig()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var out []string
	for name := range raw.Contexts {
		if strings.HasPrefix(name, toComplete) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out, cobra.ShellCompDirectiveNoFileComp
}

func namespaceNames(ctx context.Context, c *cluster.Cluster, _ string) (out []string, _ error) {
	list := &corev1.NamespaceList{}
	err := c.List(ctx, list, func() {
		for i := range list.Items {
			out = append(out, list.Items[i].Name)
		}
	})
	return out, err
}

// requestNames are the requests in some states, each with what it asks for.
func requestNames(states ...v1alpha1.AccessRequestState) names {
	return func(ctx context.Context, c *cluster.Cluster, in string) (out []string, _ error) {
		list := &v1alpha1.AccessRequestList{}
		err := c.List(ctx, list, func() {
			for i := range list.Items {
				if r := &list.Items[i]; slices.Contains(states, approval.State(r)) {
					out = append(out, r.Name+"\t"+approval.Summary(r))
				}
			}
		}, client.InNamespace(in))
		return out, err
	}
}

func dataSourceNames(ctx context.Context, c *cluster.Cluster, in string) (out []string, _ error) {
	list := &v1alpha1.DataSourceList{}
	err := c.List(ctx, list, func() {
		for i := range list.Items {
			out = append(out, list.Items[i].Name)
		}
	}, client.InNamespace(in))
	return out, err
}

func policyNames(ctx context.Context, c *cluster.Cluster, in string) (out []string, _ error) {
	list := &v1alpha1.AccessPolicyList{}
	err := c.List(ctx, list, func() {
		for i := range list.Items {
			out = append(out, list.Items[i].Name)
		}
	}, client.InNamespace(in))
	return out, err
}

// podNames are pods and, as deployment/NAME, what makes them.
func podNames(ctx context.Context, c *cluster.Cluster, in string) (out []string, _ error) {
	list := &corev1.PodList{}
	err := c.List(ctx, list, func() {
		for i := range list.Items {
			out = append(out, list.Items[i].Name)
		}
	}, client.InNamespace(in))
	return out, err
}
