package injection

import "testing"

// A status that is read is written in the same way, and a container can be made from it.
func FuzzParseStatus(f *testing.F) {
	f.Add(`{"version":1,"dataSources":["data/orders"],"sidecar":"Native","healthPort":16021,"logLevel":"info","spoolSize":"1Gi","memoryLimit":"256Mi"}`)
	f.Add(`{"version":1,"dataSources":["a/b","c/d.e"],"sidecar":"Container","healthPort":1024,"logLevel":"debug","spoolSize":"16Mi"}`)
	f.Fuzz(func(t *testing.T, text string) {
		status, err := ParseStatus(text)
		if err != nil {
			return
		}
		again, err := status.Marshal()
		if err != nil || again != text {
			t.Errorf("%q, %v", again, err)
		}
		if c := Container(settings, status); DifferentContainer(&c, settings, status) != "" {
			t.Error("a container that differs from itself")
		}
		if _, err := Volumes(status); err != nil {
			t.Error(err)
		}
	})
}
