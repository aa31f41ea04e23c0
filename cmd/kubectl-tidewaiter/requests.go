package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/plugin/approval"
	"github.com/tidewaiter/tidewaiter/plugin/cluster"
	"github.com/tidewaiter/tidewaiter/plugin/table"
)

const requestsLong = `List AccessRequests: who waits for an approval, of what, by which rule, and for how long. Those that wait are listed,
what is void soonest at the top; --all lists those that are closed as well. -w keeps the table on the terminal and up to
date until SIGINT or SIGTERM; where the output is no terminal, it prints a line for each change.

Exit codes: 0, also if nobody waits and when a watch is ended; 1 for an error.`

const requestsExample = `  # who waits, in one namespace
  kubectl tidewaiter requests -n data

  # everywhere, kept up to date
  kubectl tidewaiter requests -A -w

  # what was decided lately, with why
  kubectl tidewaiter requests -n data --all -o wide`

type requestsCommand struct {
	kubeFlags
	watch, pending, all bool
}

func newRequests(s streams) *cobra.Command {
	r := &requestsCommand{kubeFlags: kubeFlags{streams: s}}
	cmd := &cobra.Command{
		Use: "requests [-n NAMESPACE|-A] [--all] [-w] [flags]", Aliases: []string{"treq"},
		Short: "List who waits for an approval", Long: requestsLong, Example: requestsExample,
		Args: cobra.NoArgs, DisableFlagsInUseLine: true,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(cmd *cobra.Command, _ []string) error { return r.run(cmd.Context()) },
	}
	r.register(cmd, true, "json", "yaml", "wide", "name")
	f := cmd.Flags()
	f.BoolVarP(&r.watch, "watch", "w", false, "keep the table up to date")
	f.BoolVar(&r.pending, "pending", true, "only those that wait")
	f.BoolVar(&r.all, "all", false, "also those that are closed")
	return cmd
}

func (r *requestsCommand) run(ctx context.Context) error {
	ctx, stop := untilSignal(ctx)
	defer stop()
	c, err := r.connect()
	if err != nil {
		return err
	}
	color, err := useColor(r.color, r.out)
	if err != nil {
		return err
	}
	const what, resource = "listing AccessRequests", "accessrequests." + v1alpha1.Group
	if r.watch {
		w := &watcher[*v1alpha1.AccessRequest]{kubeFlags: &r.kubeFlags, color: color, keep: r.keep, table: func(all []*v1alpha1.AccessRequest, now time.Time) *table.Table {
			approval.Sort(all)
			return approval.Table(all, r.view(now))
		}, empty: r.none(c)}
		err := w.run(ctx, c, &v1alpha1.AccessRequest{}, func() client.ObjectList { return &v1alpha1.AccessRequestList{} })
		return cluster.Explain(err, what, "watch", resource)
	}
	all, err := r.list(ctx, c)
	if err != nil {
		return cluster.Explain(err, what, "list", resource)
	}
	if r.machine() {
		out := &v1alpha1.AccessRequestList{Items: make([]v1alpha1.AccessRequest, 0, len(all))}
		for _, one := range all {
			out.Items = append(out.Items, *one)
		}
		return r.object(out)
	}
	if len(all) == 0 {
		fmt.Fprintln(r.err, r.none(c))
		return nil
	}
	return approval.Table(all, r.view(time.Now())).Write(r.out, color)
}

func (r *requestsCommand) list(ctx context.Context, c *cluster.Cluster) ([]*v1alpha1.AccessRequest, error) {
	var all []*v1alpha1.AccessRequest
	list := &v1alpha1.AccessRequestList{}
	err := c.List(ctx, list, func() {
		for i := range list.Items {
			if one := list.Items[i].DeepCopy(); r.keep(one) {
				all = append(all, one)
			}
		}
	}, client.InNamespace(r.scope(c)))
	approval.Sort(all)
	return all, err
}

func (r *requestsCommand) keep(one *v1alpha1.AccessRequest) bool {
	return r.all || !r.pending || approval.Open(one)
}

func (r *requestsCommand) view(now time.Time) approval.View {
	return approval.View{Namespaces: r.allNamespaces, Wide: r.output == "wide", Now: now}
}

func (r *requestsCommand) none(c *cluster.Cluster) string {
	where := "in namespace " + c.Namespace + " (-A looks everywhere)"
	if r.allNamespaces {
		where = "in any namespace"
	}
	if r.all {
		return "no requests " + where
	}
	return "nobody waits for an approval " + where + "; --all lists what is closed"
}
