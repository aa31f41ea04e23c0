package recording

import (
	"strings"
	"testing"
	"time"
)

func TestAHeadFollowsAnotherOrSaysWhyNot(t *testing.T) {
	_, first := sample(4)
	first.End = EndNone
	second := first
	second.Segment, second.First, second.Last, second.Previous = 2, first.Last+1, first.Last+3, first.Chain
	second.From, second.To = first.To, first.To.Add(time.Second)
	if err := first.Follows(nil); err != nil {
		t.Errorf("the first: %v", err)
	}
	if err := second.Follows(&first); err != nil {
		t.Errorf("the second: %v", err)
	}
	if err := second.Follows(nil); err == nil {
		t.Error("the second passes for the first")
	}
	for _, test := range []struct {
		name   string
		change func(prev, h *Head)
		what   string
	}{
		{"a time that goes back", func(_, h *Head) { h.From = h.From.Add(-1) }, "begins before the one before it ends"},
		{"another chain", func(_, h *Head) { h.Previous[0]++ }, "does not follow"},
		{"a record left out", func(_, h *Head) { h.First++ }, "does not follow"},
		{"a segment left out", func(_, h *Head) { h.Segment++ }, "segment 3 stands where 2 should be"},
		{"another session", func(_, h *Head) { h.Session = "t" }, "another session"},
		{"another data source", func(_, h *Head) { h.DataSource = "data/other" }, "data source"},
		{"after the end", func(prev, _ *Head) { prev.End = EndComplete }, "ends the recording as Complete"},
		{"after a cut", func(prev, _ *Head) { prev.End = EndCutOff }, "ends the recording as CutOff"},
	} {
		prev, h := first, second
		test.change(&prev, &h)
		if err := h.Follows(&prev); err == nil || !strings.Contains(err.Error(), test.what) {
			t.Errorf("%s: %v, want an error that says %q", test.name, err, test.what)
		}
	}
}
