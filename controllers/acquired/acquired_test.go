package acquired

import (
	"errors"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
)

func TestTagsAreOnlyEverAdded(t *testing.T) {
	now := metav1.NewTime(time.Unix(1_800_000_000, 0))
	have := []v1alpha1.AcquiredTags{{Relation: 1, Column: 2, Tags: []string{"a", "c"}}}
	all, changed := Merge(have, []v1alpha1.AcquiredTags{
		{Relation: 1, Column: 2, Tags: []string{"b", "a"}},
		{Name: "later", Tags: []string{"z", "a", "z"}},
	}, now)
	if !changed || len(all) != 2 || !slices.Equal(all[0].Tags, []string{"a", "b", "c"}) || !slices.Equal(all[1].Tags, []string{"a", "z"}) || all[1].Since != now {
		t.Errorf("%v %+v", changed, all)
	}
	if !slices.Equal(have[0].Tags, []string{"a", "c"}) {
		t.Errorf("what was there has become %v", have[0].Tags)
	}
	if _, changed := Merge(all, []v1alpha1.AcquiredTags{{Relation: 1, Column: 2, Tags: []string{"c"}}}, now); changed {
		t.Error("a tag that is there changed something")
	}
}

func TestWhatASidecarSendsIsChecked(t *testing.T) {
	for name, q := range map[string]v1alpha1.AcquiredTags{
		"neither a number nor a name": {Tags: []string{"a"}},
		"both":                        {Relation: 1, Name: "x", Tags: []string{"a"}},
		"a relation below 0":          {Relation: -1, Tags: []string{"a"}},
		"a relation that is no OID":   {Relation: 1 << 32, Tags: []string{"a"}},
		"a column that is none":       {Relation: 1, Column: 1 << 15, Tags: []string{"a"}},
		"no tags":                     {Relation: 1},
		"an empty tag":                {Relation: 1, Tags: []string{""}},
		"many tags":                   {Relation: 1, Tags: make([]string, 33)},
	} {
		if err := Check([]v1alpha1.AcquiredTags{q}); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if Check(nil) == nil || Check(make([]v1alpha1.AcquiredTags, Most+1)) == nil {
		t.Error("no columns, or too many, were taken")
	}
}
