package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/plugin/cluster"
	"github.com/tidewaiter/tidewaiter/plugin/sessions"
	"github.com/tidewaiter/tidewaiter/plugin/table"
)

const sessionsLong = `List Sessions: which pod uses which DataSource, what was denied, masked and held, and what has gone to clients. -w keeps the
table on the terminal and up to date until SIGINT or SIGTERM, with statements per second. The operator writes counters when
a state changes and otherwise at most once a minute, and rates are what lies between two of these.

With --since, list sessions that were recorded instead, from the index of the store: which tables, tags and rules were theirs, and
how much. An entry is the operator's summary; kubectl tidewaiter verify proves the recording itself.

Exit codes: 0, also when a watch is ended; 1 for an error.`

const sessionsExample = `  # of one namespace's pods
  kubectl tidewaiter sessions -n shop

  # of one DataSource, everywhere, kept up to date
  kubectl tidewaiter sessions -A -w --datasource data/orders

  # what read customers since yesterday, and where something was denied
  kubectl tidewaiter sessions -A --since 24h --table public.customers -o wide
  kubectl tidewaiter sessions -n shop --since 2026-11-01T00:00:00Z --until 2026-11-08T00:00:00Z --denied`

type sessionsCommand struct {
	kubeFlags
	watch      bool
	dataSource string
	archive    archive
	rates      *sessions.Rates
}

func newSessions(s streams) *cobra.Command {
	c := &sessionsCommand{kubeFlags: kubeFlags{streams: s}}
	cmd := &cobra.Command{
		Use: "sessions [-n NAMESPACE|-A] [-w] [flags]", Aliases: []string{"tses"},
		Short: "List who uses what, and how much", Long: sessionsLong, Example: sessionsExample,
		Args: cobra.NoArgs, DisableFlagsInUseLine: true, ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.run(cmd.Context()) },
	}
	c.register(cmd, true, "json", "yaml", "wide", "name")
	c.archive.register(cmd, &c.kubeFlags)
	c.archive.search(cmd)
	f := cmd.Flags()
	f.BoolVarP(&c.watch, "watch", "w", false, "keep the table up to date, with rates")
	f.StringVar(&c.dataSource, "datasource", "", "only those of a DataSource, as `namespace/name`")
	_ = cmd.RegisterFlagCompletionFunc("datasource", cobra.NoFileCompletions)
	return cmd
}

func (s *sessionsCommand) run(ctx context.Context) error {
	if ns, name, ok := strings.Cut(s.dataSource, "/"); s.dataSource != "" && (!ok || ns == "" || name == "") {
		return fmt.Errorf("--datasource %s: write it as namespace/name", s.dataSource)
	}
	ctx, stop := untilSignal(ctx)
	defer stop()
	if s.archive.since != "" {
		return s.history(ctx)
	}
	if flag, given := s.archive.past(); given {
		return fmt.Errorf("%s goes with --since, such as --since 24h", flag)
	}
	c, err := s.connect()
	if err != nil {
		return err
	}
	color, err := useColor(s.color, s.out)
	if err != nil {
		return err
	}
	const what, resource = "listing Sessions", "sessions." + v1alpha1.Group
	none := "no sessions in namespace " + c.Namespace + " (-A looks everywhere)"
	if s.allNamespaces {
		none = "no sessions in any namespace"
	}
	if s.watch {
		s.rates = &sessions.Rates{}
		w := &watcher[*v1alpha1.Session]{kubeFlags: &s.kubeFlags, color: color, keep: s.keep, table: s.table, observe: s.rates.Seen, empty: none}
		err := w.run(ctx, c, &v1alpha1.Session{}, func() client.ObjectList { return &v1alpha1.SessionList{} })
		return cluster.Explain(err, what, "watch", resource)
	}
	out := &v1alpha1.SessionList{}
	var all []*v1alpha1.Session
	list := &v1alpha1.SessionList{}
	err = c.List(ctx, list, func() {
		for i := range list.Items {
			if one := list.Items[i].DeepCopy(); s.keep(one) {
				all, out.Items = append(all, one), append(out.Items, *one)
			}
		}
	}, client.InNamespace(s.scope(c)))
	switch {
	case err != nil:
		return cluster.Explain(err, what, "list", resource)
	case s.machine():
		return s.object(out)
	case len(all) == 0:
		fmt.Fprintln(s.err, none)
		return nil
	}
	sessions.Sort(all)
	return sessions.Table(all, s.view(time.Now())).Write(s.out, color)
}

func (s *sessionsCommand) table(all []*v1alpha1.Session, now time.Time) *table.Table {
	sessions.Sort(all)
	return sessions.Table(all, s.view(now))
}

func (s *sessionsCommand) view(now time.Time) sessions.View {
	return sessions.View{Namespaces: s.allNamespaces, Wide: s.output == "wide", Rates: s.rates, Now: now}
}

func (s *sessionsCommand) keep(one *v1alpha1.Session) bool {
	return s.dataSource == "" || s.dataSource == one.Spec.DataSource.Namespace+"/"+string(one.Spec.DataSource.Name)
}
