package ledger

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ConditionWitnessed says whether the last checkpoint has the cosignatures that were asked for.
const ConditionWitnessed = "Witnessed"

// Reasons of ConditionWitnessed.
const (
	ReasonQuorum   = "Quorum"
	ReasonNoQuorum = "NoQuorum"
)

// maxMessage is how long what witnesses say may be in a condition.
const maxMessage = 1024

// witnessed notes what witnesses have said. It is written with the next batch, or when there is nothing else to do: a write
// more for each checkpoint would say little more.
func (s *Sequencer) witnessed(count int, cosigned []byte, why error) {
	condition := metav1.Condition{
		Type: ConditionWitnessed, Status: metav1.ConditionTrue, Reason: ReasonQuorum,
		Message:            fmt.Sprintf("%d of %d witnesses have cosigned, %d are asked for", count, len(s.o.Witnesses), s.o.Quorum),
		LastTransitionTime: metav1.NewTime(s.o.Now()),
	}
	if count < s.o.Quorum {
		condition.Status, condition.Reason = metav1.ConditionFalse, ReasonNoQuorum
	}
	if why != nil {
		text := strings.ToValidUTF8(why.Error(), "?")
		condition.Message += ": " + text[:min(len(text), maxMessage)]
	}
	s.unmet = count < len(s.o.Witnesses)
	if s.state.Published == nil {
		s.state.Published = make(map[string]string)
	}
	if count > 0 && count >= s.o.Quorum {
		s.note(KeyCosigned, string(cosigned))
	}
	var conditions []metav1.Condition
	_ = json.Unmarshal([]byte(s.state.Published[KeyConditions]), &conditions) // what is no list is replaced
	meta.SetStatusCondition(&conditions, condition)
	text, err := json.Marshal(conditions)
	if err == nil {
		s.note(KeyConditions, string(text))
	}
}

// note changes what is published beside the checkpoint.
func (s *Sequencer) note(key, value string) {
	if s.state.Published[key] != value {
		s.state.Published[key], s.dirty = value, true
	}
}

// Ticks between what is done when there is nothing pending.
const (
	flushEvery = 5  // what is published beside the checkpoint
	checkEvery = 60 // whether the checkpoint is still the one that is shown
)

// idle does what can wait until nothing is pending.
func (s *Sequencer) idle(ctx context.Context) error {
	s.idles++
	if s.tree.Size() == 0 {
		return nil
	}
	if s.idles%checkEvery == 0 {
		// A leader that was replaced and did not know it may have shown an older one.
		if published, err := s.published(ctx); err != nil {
			return at("checkpoint", err)
		} else if published == nil || published.Tree != s.tree.Head() {
			return s.show(ctx, s.state.Checkpoint)
		}
	}
	if s.unmet && s.anyDue() {
		return s.show(ctx, s.state.Checkpoint)
	}
	if !s.dirty || s.idles%flushEvery != 0 {
		return nil
	}
	state, err := s.o.Register.Swap(ctx, s.state, s.state)
	if err != nil {
		return at("register", err)
	}
	s.state, s.dirty = state, false
	return nil
}

// anyDue reports whether a witness that failed may be asked again.
func (s *Sequencer) anyDue() bool {
	now := s.o.Now()
	for _, w := range s.o.Witnesses {
		if w.size != s.tree.Size() && w.due(now) {
			return true
		}
	}
	return false
}
