package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/injection"
	"github.com/tidewaiter/tidewaiter/test/clustertest"
)

// step is one thing to see.
type step struct {
	title    string
	about    string // a line or two: what to look at
	take     func(ctx context.Context, s *stage)
	verified string // what has been checked, for the reader
}

// steps is the tour.
var steps = []step{
	{
		title:    "The data's owner applies",
		about:    "A DataSource says how the database is reached and what in it is sensitive; an AccessPolicy says who may do what; a\nRoleBinding lets the operator read the two Secrets that the DataSource names, and no others.",
		take:     ownerApplies,
		verified: "the operator has logged in to the database, and the policy compiles",
	},
	{
		title:    "A pod with an annotation",
		about:    "Its author writes one line, knows no password, and gets a sidecar and an address.",
		take:     podIsInjected,
		verified: "the sidecar is the first to start; neither a Secret nor a password is in the pod",
	},
	{
		title:    "A pod that cannot be given a sidecar",
		about:    "It is refused with the field and the cure; no pod goes without its sidecar silently.",
		take:     podIsRefused,
		verified: "refused, and nothing was created",
	},
	{
		title: "The sidecar starts",
		about: "There is no node here, and no kubelet to run containers: operator and sidecar are processes of this machine. The sidecar\n" +
			"has its container's arguments and environment, and the token for this very pod that the API server gave.",
		take:     sidecarStarts,
		verified: "the process has the container's arguments; the operator accepted its token, and gave it policy and credential, in memory",
	},
	{
		title:    "The agent works",
		about:    "psql with the agent's environment, connected once and for all that follows.",
		take:     agentWorks,
		verified: "masked; what the policy does not allow is an ordinary error, and the connection goes on",
	},
	{
		title:    "What the cluster says",
		about:    "Who uses what is an object, and a policy says whether it has reached everybody it is about. A Session is\nwritten when its state changes, but not more often than every ten seconds.",
		take:     clusterTells,
		verified: "one sidecar is concerned, and one has acknowledged the policy",
	},
	{
		title:    "A person decides",
		about:    "Exports of payouts need approval. The agent's psql waits; whoever has the verb approve on the policy answers with\nstock kubectl.",
		take:     personDecides,
		verified: "nothing was sent to the server before the answer; a denial is an ordinary error, with who and why",
	},
	{
		title:    "The owner changes the policy",
		about:    "Orders are not to be read any more. The agent stays connected.",
		take:     policyChanges,
		verified: "a running connection is held to the policy of now, not to that of its beginning",
	},
	{
		title:    "The owner changes the credential",
		about:    "A new role in the database, then the Secret, then the old role is locked. Nobody tells the agent.",
		take:     credentialChanges,
		verified: "new connections log in by the new credential, the running one went on, and no pod was restarted",
	},
	{
		title:    "The workload loses its access",
		about:    "The DataSource allows namespaces labeled team=shop. The label goes.",
		take:     accessIsRevoked,
		verified: "the running connection was cut off and told why, and the Session says Revoked",
	},
	{
		title: "The operator is gone",
		about: fmt.Sprintf("Sidecars have a lease, of %d seconds here (a minute, if one does not say otherwise). Then they let nobody new in.\n"+
			"A proxy that restarts without an operator knows nothing, and serves nothing.", int(lease.Seconds())),
		take:     operatorIsGone,
		verified: "running connections went on, new ones were refused, and all works again now that the operator is back",
	},
	{
		title: "Where is the password?",
		about: "The file passwords holds both, plain and in base64. They are searched for in every object of the agent's namespace, in\n" +
			"the log of operator and sidecar, in the sidecar's environment, arguments and volumes, in the recordings as they are stored,\n" +
			"encrypted, and in what was recorded, exported as events.",
		take:     passwordIsSearched,
		verified: "found nowhere; that such a search finds what is there was tried with data/orders",
	},
	{
		title:    "What has happened?",
		about:    "The sidecar recorded every session, signed it and shipped it to the operator, which keeps it encrypted and notes it in a log.",
		take:     sessionIsReplayed,
		verified: "denials, the policy's change and the end are in it, all is verified, and one byte that is changed in the store is found out",
	},
}

// until looks again and again, and returns how long it took.
func until(ctx context.Context, what string, check func(context.Context) error) (time.Duration, error) {
	begin := time.Now()
	err := clustertest.Until(ctx, what, check)
	return time.Since(begin), err
}

// settles waits until what is typed prints some words, and shows it then.
func (s *stage) settles(ctx context.Context, typed string, want ...string) {
	s.then(func() error {
		_, err := until(ctx, typed, func(ctx context.Context) error {
			out, _, err := s.quietly(ctx, typed)
			if err != nil {
				return clustertest.Hopeless(err)
			}
			if err := holds(out, want...); err != nil {
				return fmt.Errorf("%w; it is:\n%s", err, out)
			}
			return nil
		})
		return err
	})
	s.run(ctx, typed, want...)
}

// notReady shows what a kubelet is told that asks the sidecar whether it is ready, which it must not be.
func (s *stage) notReady(ctx context.Context, want string) {
	s.then(func() error {
		var answer error
		_, err := until(ctx, "the proxy answers its probe", func(ctx context.Context) error {
			if answer = s.sidecar.Probe(ctx); answer == nil {
				return clustertest.Hopeless(errors.New("it is ready"))
			}
			return holds([]byte(answer.Error()), "503", want)
		})
		if err != nil {
			return err
		}
		s.paper.Command("startup probe:", "GET "+injection.ReadyPath)
		return s.shows([]byte(answer.Error()))
	})
}

// sameArguments checks that the sidecar's process has the container's arguments, but for the folders in the place of the
// two volumes.
func (s *stage) sameArguments() error {
	want := s.pod.Spec.InitContainers[0].Args
	got := s.sidecar.Args
	if len(got) != len(want) {
		return fmt.Errorf("the process has %d arguments, the container %d", len(got), len(want))
	}
	for i := range want {
		if got[i] != want[i] && want[i] != injection.IdentityPath && want[i] != injection.SpoolPath {
			return fmt.Errorf("the process has the argument %q, the container %q", got[i], want[i])
		}
	}
	return nil
}

func rounded(d time.Duration) string {
	return strings.Replace(d.Round(time.Millisecond).String(), "ms", " ms", 1)
}
