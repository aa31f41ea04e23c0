package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/tidewaiter/tidewaiter/local"
)

// maxSocketPath is how long the name of a unix socket may be (unix(7)), less its end.
const maxSocketPath = 107

// serveApprovals lets other terminals of this user answer what the proxy holds, until stop is called.
func serveApprovals(people *local.People, dir string) (stop func(), err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, fmt.Sprintf("approvals-%d.sock", os.Getpid()))
	if len(path) > maxSocketPath {
		return nil, fmt.Errorf("--approvals: %s is too long for a socket's name: set XDG_STATE_HOME to a shorter folder", path)
	}
	_ = os.Remove(path) // of a process that had the same number, and is gone
	ln, err := (&net.ListenConfig{}).Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, fmt.Errorf("--approvals: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, ln.Close())
	}
	s := &http.Server{Handler: people.Handler(), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 5 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 8 << 10}
	go func() { _ = s.Serve(ln) }() // ends with stop
	return func() { _ = s.Close() }, nil
}

// heldCommand speaks to the proxies of this user that hold statements.
type heldCommand struct {
	streams
	output string
	reason string
}

// addHeld adds the commands by which somebody answers what a local proxy holds.
func addHeld(parent *cobra.Command, s streams) {
	h := &heldCommand{streams: s}
	list := &cobra.Command{
		Use:                   "requests",
		Short:                 "List what proxies of this machine hold for approval (local --approvals)",
		Example:               "  kubectl tidewaiter local requests",
		Args:                  cobra.NoArgs,
		DisableFlagsInUseLine: true,
		RunE:                  func(cmd *cobra.Command, _ []string) error { return h.list(cmd.Context()) },
	}
	list.Flags().StringVarP(&h.output, "output", "o", "", "`json` for programs; left out, a table")
	parent.AddCommand(list)
	for verb, approve := range map[string]bool{"approve": true, "deny": false} {
		answer := &cobra.Command{
			Use:   verb + " NAME",
			Short: strings.ToUpper(verb[:1]) + verb[1:] + " what a proxy of this machine holds (local --approvals)",
			Example: "  # the name is in the notice that the client gets, and in: kubectl tidewaiter local requests\n" +
				"  kubectl tidewaiter local " + verb + " data/reporting-7k2p4 --reason \"the monthly report\"",
			Args:                  oneRequest,
			DisableFlagsInUseLine: true,
			ValidArgsFunction: func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
				return h.names(cmd.Context()), cobra.ShellCompDirectiveNoFileComp
			},
			RunE: func(cmd *cobra.Command, args []string) error { return h.answer(cmd.Context(), args[0], approve) },
		}
		answer.Flags().StringVar(&h.reason, "reason", "", "`words` that the client is told, and that are recorded")
		parent.AddCommand(answer)
	}
}

func oneRequest(_ *cobra.Command, args []string) error {
	if len(args) != 1 {
		return errors.New("name one request, as kubectl tidewaiter local requests lists it")
	}
	return nil
}

// proxies are clients of the proxies of this user that run.
func proxies() (map[string]*http.Client, error) {
	dir, err := stateDir(os.Getenv)
	if err != nil {
		return nil, err
	}
	sockets, err := filepath.Glob(filepath.Join(dir, "approvals-*.sock"))
	if err != nil {
		return nil, err
	}
	out := map[string]*http.Client{}
	for _, path := range sockets {
		out[path] = &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		}}}
	}
	return out, nil
}

// held is what each proxy holds. A proxy that has ended holds nothing.
func held(ctx context.Context) (map[string][]local.Held, error) {
	clients, err := proxies()
	if err != nil {
		return nil, err
	}
	out := map[string][]local.Held{}
	for path, client := range clients {
		request, err := http.NewRequestWithContext(cmp.Or(ctx, context.Background()), http.MethodGet, "http://local/held", nil)
		if err != nil {
			return nil, err
		}
		answer, err := client.Do(request)
		if err != nil {
			continue
		}
		var list []local.Held
		err = json.NewDecoder(io.LimitReader(answer.Body, 16<<20)).Decode(&list)
		_ = answer.Body.Close() // it was only read
		if err != nil {
			return nil, err
		}
		out[path] = list
	}
	return out, nil
}

func (h *heldCommand) names(ctx context.Context) []string {
	var out []string
	all, _ := held(ctx) // nothing to complete by
	for _, list := range all {
		for i := range list {
			out = append(out, list[i].Name+"\t"+list[i].What)
		}
	}
	return out
}

func (h *heldCommand) list(ctx context.Context) error {
	all, err := held(ctx)
	if err != nil {
		return err
	}
	list := []local.Held{}
	for _, one := range all {
		list = append(list, one...)
	}
	switch h.output {
	case "json":
		encoder := json.NewEncoder(h.out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(list)
	case "":
	default:
		return fmt.Errorf("--output %q: json is the only format beside the table", h.output)
	}
	if len(list) == 0 {
		fmt.Fprintln(h.err, "Nothing waits for approval. A proxy asks if it was started with: kubectl tidewaiter local --approvals")
		return nil
	}
	table := tabwriter.NewWriter(h.out, 0, 8, 3, ' ', 0)
	fmt.Fprintln(table, "NAME\tREQUESTER\tRULE\tWHAT\tROWS\tEXPIRES\tAGE")
	for i := range list {
		q := &list[i]
		rows := ""
		if q.Rows != nil {
			rows = "~" + number(*q.Rows)
		}
		what := q.What
		if q.Exceeded != "" {
			what += " (" + q.Exceeded + ")"
		}
		rule := q.Rules[0][strings.LastIndexByte(q.Rules[0], ' ')+1:]
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", q.Name, q.Requester, rule, what, rows, round(time.Until(q.Until)), round(time.Since(q.Since)))
	}
	return table.Flush()
}

// round writes a duration as kubectl does, to its largest unit.
func round(d time.Duration) string {
	switch {
	case d >= time.Hour:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d >= time.Minute:
		return fmt.Sprintf("%dm", d/time.Minute)
	default:
		return fmt.Sprintf("%ds", max(0, d)/time.Second)
	}
}

func (h *heldCommand) answer(ctx context.Context, name string, approve bool) error {
	all, err := held(ctx)
	if err != nil {
		return err
	}
	for path, list := range all {
		for i := range list {
			if q := &list[i]; q.Name == name || strings.HasSuffix(q.Name, "/"+name) {
				return h.decide(ctx, path, q, approve)
			}
		}
	}
	return fmt.Errorf("%s is not held by any proxy of this machine: kubectl tidewaiter local requests lists what is", name)
}

func (h *heldCommand) decide(ctx context.Context, path string, q *local.Held, approve bool) error {
	clients, err := proxies()
	if err != nil {
		return err
	}
	who := "somebody"
	if u, err := user.Current(); err == nil {
		who = u.Username
	}
	body, err := json.Marshal(local.Decision{Approve: approve, By: who, Reason: h.reason})
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(cmp.Or(ctx, context.Background()), http.MethodPost, "http://local/held/"+q.Name, bytes.NewReader(body))
	if err != nil {
		return err
	}
	answer, err := clients[path].Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusNoContent {
		why, _ := io.ReadAll(io.LimitReader(answer.Body, 4<<10)) // the status says enough
		return fmt.Errorf("%s: %s", answer.Status, strings.TrimSpace(string(why)))
	}
	verdict := "denied"
	if approve {
		verdict = "approved"
	}
	fmt.Fprintf(h.out, "%s %s: %s\n", q.Name, verdict, q.What)
	return nil
}
