package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/tidewaiter/tidewaiter/plugin/table"
	"github.com/tidewaiter/tidewaiter/recording/history"
	"github.com/tidewaiter/tidewaiter/recording/index"
)

// maxListed is how many sessions a list has.
const maxListed = 10_000

// history lists sessions from the index of the store.
func (s *sessionsCommand) history(ctx context.Context) error {
	if err := s.check(); err != nil {
		return err
	}
	if s.watch || s.output == "name" {
		return fmt.Errorf("--since lists what is kept: not with -w, nor with -o name")
	}
	color, err := useColor(s.color, s.out)
	if err != nil {
		return err
	}
	namespace, err := s.within()
	if err != nil {
		return err
	}
	now := time.Now()
	q, err := s.archive.query(namespace, now)
	if err != nil {
		return err
	}
	q.DataSource = s.dataSource
	from, end, err := s.archive.open(ctx, &s.kubeFlags, namespace)
	if err != nil {
		return err
	}
	defer func() { _ = end() }() // nothing was written
	all := []index.Entry{}
	for e, err := range history.Search(ctx, from, q) {
		if err != nil {
			return fmt.Errorf("the list is not whole, since not everything could be read: %w", err)
		}
		if len(all) == maxListed {
			return fmt.Errorf("more than %s sessions: narrow it with --until, -n or another flag", table.Number(maxListed))
		}
		all = append(all, e)
	}
	return s.printPast(all, now, color)
}

func (s *sessionsCommand) printPast(all []index.Entry, now time.Time, color bool) error {
	switch s.output {
	case "json", "yaml":
		b, err := json.MarshalIndent(map[string]any{"sessions": all}, "", "  ")
		if err == nil && s.output == "yaml" {
			b, err = yaml.JSONToYAML(b)
		}
		if err == nil {
			_, err = fmt.Fprintln(s.out, strings.TrimRight(string(b), "\n"))
		}
		return err
	}
	if len(all) == 0 {
		fmt.Fprintln(s.err, "no session of that time is kept that matches")
		return nil
	}
	return pastTable(all, now, s.allNamespaces, s.output == "wide").Write(s.out, color)
}

// pastTable shows entries of the index.
func pastTable(all []index.Entry, now time.Time, namespaces, wide bool) *table.Table {
	t := &table.Table{}
	column := func(names ...string) {
		for _, name := range names {
			t.Columns = append(t.Columns, table.Column{Name: strings.TrimPrefix(name, ">"), Right: strings.HasPrefix(name, ">"), Max: 80})
		}
	}
	if namespaces {
		column("NAMESPACE")
	}
	column("SESSION", "POD", "DATASOURCE", "BEGAN", "END", ">STATEMENTS", ">DENIED", ">MASKED", ">HELD", ">ROWS", ">BYTES", ">ALARMS")
	if wide {
		column("SERVICEACCOUNT", "USER", "PROCESS", "TABLES", "TAGS", "RULES")
	}
	for i := range all {
		e := &all[i]
		var row []table.Cell
		add := func(text string, style table.Style) {
			if text == "" {
				text = table.None
			}
			row = append(row, table.Cell{Text: text, Style: style})
		}
		number := func(n int64, style table.Style) {
			if n == 0 {
				style = table.Plain
			}
			add(table.Number(n), style)
		}
		if namespaces {
			add(e.Namespace, table.Plain)
		}
		add(e.Session, table.Plain)
		add(e.Pod, table.Plain)
		add(e.DataSource, table.Plain)
		add(table.Clock(e.Began, now), table.Plain)
		add(e.End, table.Plain)
		number(e.Statements, table.Plain)
		number(e.Denied, table.Bad)
		number(e.Masked, table.Plain)
		number(e.Held, table.Attention)
		number(e.Rows, table.Plain)
		add(table.Bytes(e.Bytes), table.Plain)
		number(e.Alarms, table.Bad)
		if wide {
			for _, text := range []string{e.ServiceAccount, e.User, e.Process, strings.Join(e.Tables, ","), strings.Join(e.Tags, ","), strings.Join(e.Rules, ",")} {
				add(text, table.Plain)
			}
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}
