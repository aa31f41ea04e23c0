package session

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
)

const (
	maxName  = 200 // of 253 that Kubernetes allows
	maxLabel = 63
)

// Who is one pod that uses one DataSource.
type Who struct {
	Namespace, Pod string
	UID            types.UID
	ServiceAccount string
	DataSource     types.NamespacedName
}

// key is what tells Sessions apart in memory.
type key struct {
	uid        types.UID
	dataSource types.NamespacedName
}

func (w Who) key() key { return key{w.UID, w.DataSource} }

// Name of the Session: the pod's and the DataSource's.
func (w Who) Name() string { return cut(w.Pod+"-"+w.DataSource.Name, maxName) }

// longName is the name where the pod uses a DataSource of the same name in another
// namespace too.
func (w Who) longName() string {
	return cut(w.Pod+"-"+w.DataSource.Name, maxName-9) + "-" + digest(w.DataSource.String())
}

// cut shortens a name so that what is cut off still tells names apart.
func cut(name string, limit int) string {
	if len(name) <= limit {
		return name
	}
	return strings.TrimRight(name[:limit-9], "-._") + "-" + digest(name)
}

func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:4])
}

// Labels by which the Sessions of a DataSource are found.
func Labels(dataSource types.NamespacedName) map[string]string {
	return map[string]string{
		v1alpha1.LabelDataSourceNamespace: cut(dataSource.Namespace, maxLabel),
		v1alpha1.LabelDataSourceName:      cut(dataSource.Name, maxLabel),
	}
}

// object is the Session without its status.
func (w Who) object(name string) *v1alpha1.Session {
	return &v1alpha1.Session{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: w.Namespace, Name: name, Labels: Labels(w.DataSource),
			// The garbage collector removes the Session with its pod. It does not block the pod's removal.
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Pod", Name: w.Pod, UID: w.UID}},
		},
		Spec: v1alpha1.SessionSpec{
			Pod:            v1alpha1.PodReference{Name: v1alpha1.ObjectName(w.Pod), UID: string(w.UID)},
			ServiceAccount: v1alpha1.ObjectName(w.ServiceAccount),
			DataSource: v1alpha1.NamespacedReference{
				Namespace: w.DataSource.Namespace, Name: v1alpha1.ObjectName(w.DataSource.Name),
			},
		},
	}
}

// about reports whether a Session in the cluster is this one's.
func (w Who) about(s *v1alpha1.Session) bool {
	return s.Spec.Pod.UID == string(w.UID) &&
		s.Spec.DataSource.Namespace == w.DataSource.Namespace && string(s.Spec.DataSource.Name) == w.DataSource.Name
}
