package audit

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"time"

	"github.com/tidewaiter/tidewaiter/recording"
	"github.com/tidewaiter/tidewaiter/recording/store"
)

// where is the place that findings are about.
type where struct {
	pod, session, object string
	segment              uint64
	index                *int64
	at                   time.Time // of the leaf; zero where there is none
}

func (w where) finding(code Code, format string, args ...any) Finding {
	return Finding{Code: code, Pod: w.pod, Session: w.session, Segment: w.segment, LogIndex: w.index, Object: w.object, What: fmt.Sprintf(format, args...), at: w.at}
}

// attestations remembers the attestations that were opened last: a key's heads carry the same one. It is bounded.
type attestations struct {
	operator ed25519.PublicKey
	opened   map[[sha256.Size]byte]recording.Attestation
}

// maxAttestations is how many opened attestations are remembered.
const maxAttestations = 4096

func (a *attestations) open(s *recording.Signed) (recording.Attestation, error) {
	h := sha256.New()
	fmt.Fprintf(h, "%d\n", len(s.Statement))
	h.Write(s.Statement)
	h.Write(s.Signature)
	id := [sha256.Size]byte(h.Sum(nil))
	if known, ok := a.opened[id]; ok {
		return known, nil
	}
	att, err := recording.OpenAttestation(a.operator, s)
	if err != nil {
		return att, err
	}
	if a.opened == nil || len(a.opened) >= maxAttestations {
		a.opened = map[[sha256.Size]byte]recording.Attestation{}
	}
	a.opened[id] = att
	return att, nil
}

// signedHead reads a head and checks it against its key, which the attestation in it names. The attestation's pod is the caller's to
// compare. Without an operator's key, the attestation is not checked, which the caller says once.
func (v *verifier) signedHead(w where, s *recording.Signed) (h recording.Head, att recording.Attestation, ok bool) {
	if err := json.Unmarshal(s.Statement, &h); err != nil || len(s.Statement) > recording.MaxHead {
		v.add(w.finding(SegmentBroken, "the head cannot be read"))
		return h, att, false
	}
	if what := shape(&h); what != "" {
		v.add(w.finding(HeadWrong, "%s", what))
		return h, att, false
	}
	if h.Attestation == nil {
		if att, ok := v.attestedLater(&h, s); ok {
			return h, att, true
		}
		v.add(w.finding(KeyNotAttested, "the head carries no attestation of key %s", short(h.Key)))
		return h, att, false
	}
	att, err := v.attested.open(h.Attestation)
	if err != nil {
		v.add(w.finding(BadAttestation, "the attestation of key %s is not of the operator's key", short(h.Key)))
		return h, att, false
	}
	if err := (&recording.Segment{Signed: *s}).VerifyHead(att.Key); err != nil {
		v.add(w.finding(BadSignature, "the head is not signed by the key %s that was attested for pod %s/%s", short(recording.IDOf(att.Key)), att.Namespace, att.Pod))
		return h, att, false
	}
	return h, att, true
}

// attestedLater returns the log's attestation for a head that carries none: it was sealed before the operator had a word for the key,
// such as before recordings were switched on. Who may do without is only whose key the log has for its pod, and only for what was sealed before.
func (v *verifier) attestedLater(h *recording.Head, s *recording.Signed) (att recording.Attestation, ok bool) {
	k := v.keys[h.Key]
	if k == nil || !k.logged || h.Sealed.After(k.since.Add(Skew)) || (&recording.Segment{Signed: *s}).VerifyHead(k.pub) != nil {
		return att, false
	}
	return recording.Attestation{Namespace: k.pod.namespace, Pod: k.pod.name, UID: k.pod.uid, Key: k.pub, Time: k.since}, true
}

// shape says what cannot be in a head.
func shape(h *recording.Head) string {
	switch {
	case !(store.Session{Namespace: "x", UID: "x", ID: h.Session}).Valid():
		return "its session has a name that no session has"
	case h.Segment == 0 || h.Serial == 0:
		return "its segment or serial is 0"
	case h.First == 0 || h.Last < h.First-1 || h.Last == h.First-1 && h.End != recording.EndCutOff:
		return fmt.Sprintf("it claims the records %d to %d", h.First, h.Last)
	case h.To.Before(h.From):
		return "its last record is before its first"
	case h.To.After(h.Sealed.Add(Skew)):
		return "it was sealed before its last record"
	case h.Size < 0 || h.Size > 2*recording.MaxSegment || h.Plain < 0 || h.Plain > recording.MaxSegment || (h.Plain == 0) != (h.Last < h.First):
		return fmt.Sprintf("it claims %d bytes, %d of records", h.Size, h.Plain)
	case h.End != recording.EndNone && h.End != recording.EndComplete && h.End != recording.EndCutOff:
		return fmt.Sprintf("its end %q is unknown", h.End)
	default:
		return ""
	}
}

func short(h recording.Hash) string { return h.String()[:12] }

func utc(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }
