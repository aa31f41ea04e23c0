package replay_test

import (
	"strings"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/recording/replay"
)

func TestAReplayTellsWhoApprovedWhat(t *testing.T) {
	asks := run(1, "copy orders to stdout")
	asks.Decided.Effect, asks.Decided.Rule = "RequireApproval", "exports"
	now := run(1, "copy orders to stdout")
	now.Decided.Effect, now.Decided.Rule, now.Decided.Reason = "Deny", "no-orders", "Rule no-orders denies it."
	out := printed(t, encode([]access.Event{
		asks,
		{Kind: access.EventHeld, Time: start, Statement: 1, Held: &access.Notice{
			Request: "data/reporting-7k2p4", Rules: []access.RuleRef{{Policy: "data/p", Rule: "exports"}}, Until: start.Add(time.Minute),
		}},
		{Kind: access.EventAnswered, Time: start, Statement: 1, Answered: &access.Answered{
			Request: "data/reporting-7k2p4", Outcome: access.AnswerApproved, By: []string{"alice\x1b[2K"}, Reason: "OPS-7", Grant: "Session",
		}},
		now,
		ended(1, access.Ended{Outcome: access.OutcomeDenied}),
	}), replay.Options{})
	for _, want := range []string{
		"asked as data/reporting-7k2p4 (data/p exports), until ", "approved by alice", "(data/reporting-7k2p4), good for Session: OPS-7", "DENIED (rule no-orders)",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("there is no %q in\n%s", want, out)
		}
	}
	if strings.Count(out, "copy orders") != 1 || strings.Contains(out, "\x1b[2K") || !strings.Contains(out, "1 statement, 1 denied") {
		t.Errorf("got\n%s", out)
	}
}
