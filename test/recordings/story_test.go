package recordings

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestASessionIsFoundReplayedVerifiedAndErased is what an auditor does.
func TestASessionIsFoundReplayedVerifiedAndErased(t *testing.T) {
	s := open(t)
	p := s.pod("report-1")
	got := s.says(p,
		"SELECT id, name, ssn FROM customers WHERE id < 3",
		"INSERT INTO customers VALUES (9001, 'new', 'canary-written-1')",
		"SELECT count(*) FROM customers WHERE ssn = 'canary-compared-1'",
		"SELECT * FROM salaries",
		"SELECT id FROM orders",
	)
	if got[0] != "" || got[4] != "" || !strings.HasPrefix(got[3], "42501") {
		t.Fatalf("%q", got)
	}
	s.says(p, "SELECT total FROM orders WHERE id = 7")
	s.must(p.sidecar.Stop())
	s.logged()

	t.Log(s.audits(0, []string{"verify", "--all", "--store", s.cluster.Recordings}))
	t.Log(s.audits(0, []string{"verify", "--all", "--recordings-url", s.cluster.Reader()}, "2 segments, "))
	if n := len(s.history("--pod", p.Name)); n != 2 {
		t.Errorf("%d sessions are found, of 2", n)
	}
	denied := s.history("--denied", "--table", "public.salaries")
	tagged := s.history("--tag", "pii/ssn", "--table", "public.customers")
	if len(denied) != 1 || len(tagged) != 1 || denied[0] != tagged[0] {
		t.Fatalf("denied %q, tagged %q", denied, tagged)
	}
	id := denied[0]
	s.audits(0, []string{"replay", id, "--recordings-url", s.cluster.Reader()}, "name 1", "salaries")
	s.fetched(id)
	s.status(p)
	s.canaries()
	s.tampered(p, id)

	t.Log(s.audits(0, []string{"erase", id, "-n", "shop", "--yes", "--reason", "OPS-7", "--recordings-url", s.cluster.Reader()}))
	out, code := s.tidewaiter("replay", id, "--recordings-url", s.cluster.Reader())
	if code == 0 || !strings.Contains(out, "erased") {
		t.Errorf("replay of what was erased: exit code %d\n%s", code, out)
	}
	s.logged()
	t.Log(s.audits(0, []string{"verify", "--all", "--recordings-url", s.cluster.Reader()}))
}

// status looks at what the Session says of its recording.
func (s *stage) status(p *pod) {
	s.Helper()
	s.until("the Session has its recording", func(ctx context.Context) error {
		out, err := s.cluster.Kubectl(ctx, "", "get", "tses", "-n", "shop", "-o", "json")
		if err != nil {
			return err
		}
		var list struct {
			Items []struct {
				Status struct {
					Recording, ChainHead string
					LogIndex             *int64
				}
			}
		}
		if err := json.Unmarshal([]byte(out), &list); err != nil {
			return err
		}
		for _, item := range list.Items {
			if st := item.Status; strings.Contains(st.Recording, string(p.UID)) && len(st.ChainHead) == 64 && st.LogIndex != nil {
				return nil
			}
		}
		return fmt.Errorf("%s", out)
	})
}

// canaries searches every byte that is stored, and the logs, for what must not be there. What is encrypted is read as auditors read it.
func (s *stage) canaries() {
	s.Helper()
	places := map[string]string{"the logs": s.logs.String()}
	for _, id := range s.history() {
		places["the replay of "+id] = s.audits(0, []string{"replay", id, "--format", "json", "--recordings-url", s.cluster.Reader()})
	}
	s.must(filepath.WalkDir(s.cluster.Dir(), func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || strings.HasPrefix(d.Name(), "tidewaiter-") { // the commands themselves
			return err
		}
		b, err := os.ReadFile(path)
		places[path] = string(b)
		return err
	}))
	for _, canary := range []string{"canary-ssn-1", "canary-written-1", "canary-compared-1", "canary-password-7f3a9c"} {
		for place, text := range places {
			for _, form := range []string{canary, hex.EncodeToString([]byte(canary)), base64.StdEncoding.EncodeToString([]byte(canary))[:12]} {
				if strings.Contains(text, form) {
					s.Errorf("%s has %q", place, form)
				}
			}
		}
	}
	s.Logf("%d places searched", len(places))
}

// tampered changes one byte of a stored segment, and has it found.
func (s *stage) tampered(p *pod, id string) {
	s.Helper()
	file := filepath.Join(s.cluster.Recordings, "recordings", "shop", string(p.UID), id, "00000001.tws")
	before, err := os.ReadFile(file)
	s.must(err)
	after := append([]byte(nil), before...)
	after[len(after)/2] ^= 1
	s.must(os.WriteFile(file, after, 0o600))
	s.Log(s.audits(2, []string{"verify", "--all", "--store", s.cluster.Recordings}, id))
	s.must(os.WriteFile(file, before, 0o600))
}

// fetched hands a session over to somebody who has the operator's public key and no cluster.
func (s *stage) fetched(id string) {
	s.Helper()
	folder := s.TempDir()
	s.audits(0, []string{"fetch", id, "-n", "shop", "-o", folder, "--recordings-url", s.cluster.Reader()}, "1 segments")
	key, err := s.cluster.Kubectl(s.Context(), "", "get", "configmap", "tidewaiter-log", "-n", "tidewaiter-system", "-o", "jsonpath={.data.recording}")
	s.must(err)
	public, file := filepath.Join(folder, "recording.pub"), filepath.Join(folder, id+".twr")
	s.must(os.WriteFile(public, []byte(key), 0o600))
	s.Log(s.audits(0, []string{"verify", file, "--offline", "--operator-key", public}, "verified"))
	s.audits(0, []string{"replay", file}, "salaries")
	whole, err := os.ReadFile(file)
	s.must(err)
	whole[len(whole)-100] ^= 1
	s.must(os.WriteFile(file, whole, 0o600))
	s.Log(s.audits(2, []string{"verify", file, "--offline", "--operator-key", public}, "segment 1"))
}
