package session

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
)

// MaxSize bounds a Session as it is stored, in bytes of JSON.
const MaxSize = 4 << 10

const (
	maxText     = 512
	maxReason   = 64
	maxReplica  = 253
	maxPolicies = 32
	// What the API server adds: UID and times, and the managed fields, which name
	// every field once more, and every entry of a list by its key.
	added          = 1200
	addedForPolicy = 80
)

// fit cuts what a sidecar or a person wrote to the bounds of the API, and the
// policies to what is left of MaxSize.
func fit(s *v1alpha1.Session) {
	st := &s.Status
	st.Message = clip(st.Message, maxText)
	st.Replica = clip(st.Replica, maxReplica)
	if len(st.Recording) > maxText { // half a URI is none
		st.Recording = ""
	}
	if len(st.ChainHead) > 64 {
		st.ChainHead = ""
	}
	if r := st.Rejection; r != nil {
		cut := *r
		cut.Reason, cut.Message = clip(r.Reason, maxReason), clip(r.Message, maxText)
		st.Rejection = &cut
	}
	// The policies are what others count by, so texts are cut before them.
	all := len(st.Policies)
	st.Policies = st.Policies[:min(all, maxPolicies)]
	if size(s) > MaxSize {
		const short = 96
		st.Message = clip(st.Message, short)
		if st.Rejection != nil {
			st.Rejection.Message = clip(st.Rejection.Message, short)
		}
	}
	message := st.Message
	for {
		if left := all - len(st.Policies); left > 0 {
			st.Message = clip(fmt.Sprintf("%d policies are not listed. %s", left, message), maxText)
		}
		if size(s) <= MaxSize || len(st.Policies) == 0 {
			return
		}
		st.Policies = st.Policies[:len(st.Policies)-1]
	}
}

// size is an estimate of what is stored, from above.
func size(s *v1alpha1.Session) int {
	raw, err := json.Marshal(s)
	if err != nil {
		return MaxSize + 1 // not reached; too large is the safe side
	}
	n := len(raw) + added
	n += len(s.Status.Conditions) * addedForPolicy
	for _, p := range s.Status.Policies {
		n += len(p.Name) + addedForPolicy
	}
	return n
}

// clip cuts s to at most limit bytes of valid text.
func clip(s string, limit int) string {
	s = strings.ToValidUTF8(s, "?")
	if len(s) <= limit {
		return s
	}
	const dots = "…"
	s = s[:limit-len(dots)]
	for !utf8.ValidString(s) {
		s = s[:len(s)-1]
	}
	return s + dots
}
