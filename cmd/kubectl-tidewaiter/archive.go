package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/tidewaiter/tidewaiter/recording/history"
	"github.com/tidewaiter/tidewaiter/recording/store"
)

// archive is what commands share that read recordings which are kept: through the operator, or in the store itself.
type archive struct {
	operator     operatorFlags
	store        string
	since, until string
	pod, user    string
	table, tag   string
	rule         string
	denied       bool
}

// register adds where recordings are; search adds which.
func (a *archive) register(cmd *cobra.Command, k *kubeFlags) {
	a.operator.register(cmd, k)
	cmd.Flags().StringVar(&a.store, "store", "", "read the store itself, by its `URL`: s3://…, gs://…, azblob://…, or a folder (default: through the operator)")
	_ = cmd.RegisterFlagCompletionFunc("store", cobra.NoFileCompletions)
}

func (a *archive) search(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&a.since, "since", "", "sessions that went on since a `time`: a span such as 24h, or 2026-11-26T10:00:00Z")
	f.StringVar(&a.until, "until", "", "… and began before a `time` (default: now)")
	f.StringVar(&a.pod, "pod", "", "with --since: only of a `pod`")
	f.StringVar(&a.user, "db-user", "", "with --since: only of a database `user`, an application's name, or a service account")
	f.StringVar(&a.table, "table", "", "with --since: only with a `table`, such as public.customers")
	f.StringVar(&a.tag, "tag", "", "with --since: only with a `tag`, such as pii/ssn")
	f.StringVar(&a.rule, "rule", "", "with --since: only where a `rule` decided, such as read or data/reporting/read")
	f.BoolVar(&a.denied, "denied", false, "with --since: only where something was denied")
	for _, name := range []string{"since", "until", "pod", "db-user", "table", "tag", "rule"} {
		_ = cmd.RegisterFlagCompletionFunc(name, cobra.NoFileCompletions)
	}
}

// past reports whether a flag was given that asks about what is kept.
func (a *archive) past() (string, bool) {
	for flag, given := range map[string]bool{
		"--until": a.until != "", "--pod": a.pod != "", "--db-user": a.user != "", "--table": a.table != "", "--tag": a.tag != "", "--rule": a.rule != "", "--denied": a.denied, "--store": a.store != "",
	} {
		if given {
			return flag, true
		}
	}
	return "", false
}

// query reads the flags. The namespace is empty for all.
func (a *archive) query(namespace string, now time.Time) (q history.Query, err error) {
	q = history.Query{Namespace: namespace, Pod: a.pod, User: a.user, Table: a.table, Tag: a.tag, Rule: a.rule, Denied: a.denied, To: now.Add(time.Minute)}
	if q.From, err = instant("--since", a.since, now); err != nil {
		return q, err
	}
	if a.until != "" {
		if q.To, err = instant("--until", a.until, now); err != nil {
			return q, err
		}
	}
	if !q.From.Before(q.To) {
		return q, errors.New("--since is not before --until")
	}
	return q, nil
}

// instant reads a span before now, or a time; zero where nothing is said.
func instant(flag, text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(text); err == nil && d > 0 {
		return now.Add(-d), nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	return time.Time{}, fmt.Errorf("%s %q: write a span such as 24h, or a time such as 2026-11-26T10:00:00Z", flag, text)
}

// open returns the recordings, and what ends the way there. Within confines lists through the operator to a namespace.
func (a *archive) open(ctx context.Context, k *kubeFlags, within string) (store.Source, func() error, error) {
	if a.store == "" {
		return a.operator.open(ctx, k, within)
	}
	b, err := store.Open(ctx, a.store)
	if err != nil {
		return nil, nil, fmt.Errorf("--store %s: %w", a.store, err)
	}
	return b, b.Close, nil
}

// within is the namespace to look in, empty for all, without speaking to a cluster.
func (k *kubeFlags) within() (string, error) {
	if k.allNamespaces {
		return "", nil
	}
	namespace, _, err := k.config.ToRawKubeConfigLoader().Namespace()
	return namespace, err
}
