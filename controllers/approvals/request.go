package approvals

import (
	"cmp"
	"crypto/sha256"
	"encoding/base32"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
)

// Labels of an AccessRequest for a statement that is held. They are for people who look for one; nothing is concluded from
// them, since whoever may change the object can change them.
const (
	LabelPod        = "tidewaiter.dev/pod-uid"
	LabelDataSource = "tidewaiter.dev/datasource"
)

// suffixes are how many letters of the digest a name ends with, the first first. Two requests of which eight letters are
// equal are a matter of chance; of which all are, of a mistake.
var suffixes = []int{8, 13, 26, 52}

const maxName = 253

var letters = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// nameOf is the policy and a digest of who waits for what: whoever asks again finds the same object.
func nameOf(policy v1alpha1.ObjectName, pod types.UID, dataSource types.NamespacedName, hold string, size int) string {
	sum := sha256.Sum256([]byte(string(pod) + "\x00" + dataSource.String() + "\x00" + hold))
	suffix := "-" + letters.EncodeToString(sum[:])[:size]
	head := string(policy)
	if limit := maxName - len(suffix); len(head) > limit {
		head = strings.TrimRight(head[:limit], "-.")
	}
	return head + suffix
}

// object is the AccessRequest, without its name.
func (a *ask) object(pod Pod, expires time.Time) *v1alpha1.AccessRequest {
	text := cmp.Or(a.text, "?") // the protocol's own function call has none
	r := &v1alpha1.AccessRequest{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: a.dataSource.Namespace,
			Labels:    map[string]string{LabelPod: string(pod.UID)},
		},
		Spec: v1alpha1.AccessRequestSpec{
			DataSource: v1alpha1.DataSourceReference{Name: v1alpha1.ObjectName(a.dataSource.Name)},
			Policy:     a.rules[0].Policy, Rule: a.rules[0].Rule, OtherRules: a.rules[1:],
			Requester: v1alpha1.Requester{
				Namespace: pod.Namespace, ServiceAccount: v1alpha1.ObjectName(pod.ServiceAccount),
				Pod:     &v1alpha1.PodReference{Name: v1alpha1.ObjectName(pod.Name), UID: string(pod.UID)},
				Process: a.process,
			},
			Statement: &v1alpha1.HeldStatement{
				Session: a.session, Digest: a.digest, ParametersDigest: a.parameters, Shape: a.shapeKey, Text: text, Hold: a.hold,
				InTransaction: a.inTransaction, EstimatedRows: a.estimatedRows, Exceeded: a.exceeded,
			},
			ExpiresAt: metav1.NewTime(expires.Add(time.Second - 1).Truncate(time.Second)), // as it is stored
			Summary:   a.summary,
		},
	}
	if len(a.dataSource.Name) <= 63 {
		r.Labels[LabelDataSource] = a.dataSource.Name
	}
	return r
}

// rulesOfSpec are the rules of a request, the one that is named to the client first.
func rulesOfSpec(spec *v1alpha1.AccessRequestSpec) []v1alpha1.RuleReference {
	return append([]v1alpha1.RuleReference{{Policy: spec.Policy, Rule: spec.Rule}}, spec.OtherRules...)
}

// about reports whether an AccessRequest is for the very thing that is asked: an approval is for exactly one.
func (a *ask) about(pod Pod, r *v1alpha1.AccessRequest) bool {
	st, by := r.Spec.Statement, r.Spec.Requester
	return st != nil && by.Pod != nil && by.Pod.UID == string(pod.UID) && by.Namespace == pod.Namespace &&
		by.ServiceAccount == v1alpha1.ObjectName(pod.ServiceAccount) &&
		r.Namespace == a.dataSource.Namespace && string(r.Spec.DataSource.Name) == a.dataSource.Name &&
		st.Hold == a.hold && st.Session == a.session && st.Digest == a.digest && st.ParametersDigest == a.parameters &&
		st.Shape == a.shapeKey && (st.Exceeded != nil) == (a.exceeded != nil) && ruleKey(rulesOfSpec(&r.Spec)) == a.ruleKey
}
