package distribute

import (
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	sidecarv1alpha1 "github.com/tidewaiter/tidewaiter/api/sidecar/v1alpha1"
	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/controllers/session"
)

func (c *sidecar) acquire(sequence uint64, dataSource string, columns ...*sidecarv1alpha1.AcquiredTags) {
	c.t.Helper()
	c.send(&sidecarv1alpha1.ConnectRequest{Message: &sidecarv1alpha1.ConnectRequest_Tags{
		Tags: &sidecarv1alpha1.TagsAcquired{Sequence: sequence, DataSource: dataSource, Columns: columns},
	}})
}

func note(number int32, tags ...string) *sidecarv1alpha1.AcquiredTags {
	return &sidecarv1alpha1.AcquiredTags{Relation: 16400, Number: number, Tags: tags}
}

func TestTagsAreKeptBeforeTheyAreConfirmedAndEverySidecarHasThem(t *testing.T) {
	o := start(t, func(o *Options, _ *session.Options) { o.OneReplica = true })
	s := o.shop(t)
	writer := o.connect(t, s.pod(t, "writer", "orders"))
	writer.snapshot(true)
	reader := o.connect(t, s.pod(t, "reader", "orders"))
	reader.snapshot(true)

	writer.acquire(7, s.data+"/orders", note(3, "pii/ssn"))
	writer.snapshot(true)
	got := reader.snapshot(false)
	if have := got.GetDataSources()[0].GetAcquired(); len(have) != 1 || have[0].GetRelation() != 16400 || have[0].GetNumber() != 3 || have[0].GetTags()[0] != "pii/ssn" {
		t.Fatalf("the other sidecar was sent %v", have)
	}
	var ds v1alpha1.DataSource
	must(t, s.client.Get(t.Context(), types.NamespacedName{Namespace: s.data, Name: "orders"}, &ds))
	if kept := ds.Status.Acquired; len(kept) != 1 || kept[0].Relation != 16400 || kept[0].Since.IsZero() {
		t.Errorf("the status has %+v", kept)
	}
	answered := make(chan *sidecarv1alpha1.TagsKept, 1)
	go func() { answered <- writer.next().GetTags() }()
	select {
	case early := <-answered:
		t.Fatalf("confirmed before the other sidecar had them: %v", early)
	case <-time.After(300 * time.Millisecond):
	}
	reader.ack()
	if kept := <-answered; kept.GetSequence() != 7 || kept.GetRefused() != "" {
		t.Errorf("answer: %v", kept)
	}

	writer.acquire(8, s.data+"/orders", note(3, "pii/ssn")) // once more: nothing is new, so nobody is waited for
	if kept := writer.next().GetTags(); kept.GetSequence() != 8 || kept.GetRefused() != "" {
		t.Errorf("answer: %v", kept)
	}
	late := o.connect(t, s.pod(t, "late", "orders"))
	if have := late.snapshot(true).GetDataSources()[0].GetAcquired(); len(have) != 1 {
		t.Errorf("a sidecar that comes later was sent %v", have)
	}
}

func TestTagsThatCannotBeKeptAreRefused(t *testing.T) {
	o := start(t, nil)
	s := o.shop(t)
	c := o.connect(t, s.pod(t, "writer", "orders"))
	c.snapshot(true)
	for name, ask := range map[string]struct {
		dataSource string
		column     *sidecarv1alpha1.AcquiredTags
		want       string
	}{
		"another data source":    {s.data + "/payroll", note(1, "pii/ssn"), "may not use"},
		"no column and no name":  {s.data + "/orders", &sidecarv1alpha1.AcquiredTags{Tags: []string{"pii/ssn"}}, "neither a column nor a name"},
		"no tag":                 {s.data + "/orders", note(1), "too long or empty"},
		"a number that is none":  {s.data + "/orders", note(-1, "pii/ssn"), "neither a column nor a name"},
		"a tag that is too long": {s.data + "/orders", note(1, strings.Repeat("x", 64)), "a tag of 64 bytes"},
	} {
		c.acquire(1, ask.dataSource, ask.column)
		if got := c.next().GetTags(); !strings.Contains(got.GetRefused(), ask.want) {
			t.Errorf("%s: %v", name, got)
		}
	}
}
