package inject

import (
	"encoding/json"
	"testing"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
)

// Whatever is sent as a pod: it is refused, or the patch applies, leaves what was there, and is not wanted twice.
func FuzzPod(f *testing.F) {
	for _, s := range scenarios(f) {
		f.Add([]byte(s.Pod))
	}
	plain := scenario{}
	f.Fuzz(func(t *testing.T, pod []byte) {
		// API servers write no key twice.
		var once any
		if json.Unmarshal(pod, &once) == nil {
			pod, _ = json.Marshal(once)
		}
		result, err := plain.inject(t, pod)
		if err != nil {
			if err.Error() == "" || len(err.Error()) > 16<<10 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
			return
		}
		if len(result.Patch) == 0 {
			return
		}
		raw, err := json.Marshal(result.Patch)
		if err != nil {
			t.Fatal(err)
		}
		patch, err := jsonpatch.DecodePatch(raw)
		if err != nil {
			t.Fatal(err)
		}
		after, err := patch.Apply(pod)
		if err != nil {
			t.Fatalf("%v\npatch %s", err, raw)
		}
		again, err := plain.inject(t, after)
		if err != nil || len(again.Patch) > 0 {
			t.Fatalf("the second time: %+v, %v\n%s", again, err, after)
		}
	})
}
