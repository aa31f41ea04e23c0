package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/recording"
	"github.com/tidewaiter/tidewaiter/recording/ledger"
	"github.com/tidewaiter/tidewaiter/recording/store"
)

// installation is a folder with one session, and a log that the operator's own code has written.
type installation struct {
	folder, file    string
	operator, vkey  string
	object          string
	signer          note.Signer
	entries         [][]byte
	sessionID       string
	checkpointBytes []byte
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func install(t *testing.T) *installation {
	t.Helper()
	in := &installation{folder: t.TempDir(), sessionID: "report-1"}
	at := time.Now().UTC().Add(-time.Minute)
	pub, operator, err := ed25519.GenerateKey(nil)
	check(t, err)
	in.operator = base64.StdEncoding.EncodeToString(pub)
	skey, vkey, err := note.GenerateKey(nil, ledger.Origin("test"))
	check(t, err)
	in.vkey = vkey
	in.signer, err = note.NewSigner(skey)
	check(t, err)

	mine, key, err := ed25519.GenerateKey(nil)
	check(t, err)
	pod := ledger.Pod{Namespace: "shop", Name: "report", UID: "0c5b7c1e"}
	att, err := recording.Attest(operator, &recording.Attestation{Namespace: pod.Namespace, Pod: pod.Name, UID: pod.UID, Key: mine, Time: at})
	check(t, err)
	enc, _ := recording.Begin(nil)
	records, err := enc.Event(nil, &access.Event{Kind: access.EventOpened, Time: at, Opened: &access.Opened{Session: in.sessionID}})
	check(t, err)
	records = enc.End(records, at.Add(time.Second))
	sealer, err := recording.NewSealer(key)
	check(t, err)
	seg, err := sealer.Seal(recording.Head{Session: in.sessionID, DataSource: "data/orders", Segment: 1, Sealed: at.Add(time.Second), End: recording.EndComplete, Attestation: &att}, records)
	check(t, err)
	stored := seg.Append(nil)
	in.object = store.Session{Namespace: pod.Namespace, UID: pod.UID, ID: in.sessionID}.Segment(1)
	in.put(t, in.object, stored)
	in.file = filepath.Join(t.TempDir(), "session.twr")
	check(t, os.WriteFile(in.file, stored, 0o600))

	serial, sum := sealer.Serial()
	beat, err := recording.Beat(key, &recording.Heartbeat{Key: recording.IDOf(mine), Number: 1, Time: at.Add(2 * time.Second), Every: 60, Sealed: serial, Sum: sum, Recording: true})
	check(t, err)
	for i, l := range []ledger.Leaf{
		{Kind: ledger.KindAttested, Attestation: &att},
		{Kind: ledger.KindSealed, Sealed: &ledger.Sealed{Head: seg.Signed, Object: in.object, Stored: sha256.Sum256(stored), Size: int64(len(stored))}},
		{Kind: ledger.KindAlive, Alive: &beat},
	} {
		l.Time, l.Pod, l.ID = at.Add(time.Duration(i)*time.Second), pod, strings.Repeat("0", 31)+string(rune('1'+i))
		b, err := l.Encode()
		check(t, err)
		in.entries = append(in.entries, b)
	}
	in.publish(t, in.entries)
	return in
}

// publish writes the log with the operator's own code.
func (in *installation) publish(t *testing.T, entries [][]byte) {
	t.Helper()
	empty, err := ledger.LoadTree(context.Background(), nil, tlog.Tree{Hash: emptyRoot(t)})
	check(t, err)
	tree, objects, err := empty.Append(entries)
	check(t, err)
	for _, o := range objects {
		in.put(t, o.Name, o.Data)
	}
	in.checkpointBytes, err = ledger.Sign(ledger.Origin("test"), tree.Head(), in.signer)
	check(t, err)
	in.put(t, ledger.CheckpointName, in.checkpointBytes)
}

func emptyRoot(t *testing.T) tlog.Hash {
	t.Helper()
	h, err := tlog.TreeHash(0, nil)
	check(t, err)
	return h
}

func (in *installation) put(t *testing.T, name string, data []byte) {
	t.Helper()
	path := filepath.Join(in.folder, filepath.FromSlash(name))
	check(t, os.MkdirAll(filepath.Dir(path), 0o700))
	check(t, os.WriteFile(path, data, 0o600))
}

func (in *installation) store(args ...string) []string {
	return append([]string{"verify", "--offline", "--store", in.folder, "--operator-key", in.operator, "--log-key", in.vkey}, args...)
}

func TestVerifyEndsWithACodeThatSaysHowItIs(t *testing.T) {
	for name, c := range map[string]struct {
		args func(t *testing.T, in *installation) []string
		code int
		want string
	}{
		"a true store":        {func(_ *testing.T, in *installation) []string { return in.store("--all") }, 0, "verified · 1 session, 1 segment, 2 records, log of 3 leaves"},
		"a session by name":   {func(_ *testing.T, in *installation) []string { return in.store(in.sessionID) }, 0, "verified · 1 session"},
		"a session not there": {func(_ *testing.T, in *installation) []string { return in.store("other") }, 3, "NothingMatched"},
		"a file by itself": {func(_ *testing.T, in *installation) []string {
			return []string{"verify", in.file, "--operator-key", in.operator}
		}, 0, "not compared with the log"},
		"a file and the log": {func(_ *testing.T, in *installation) []string { return in.store(in.file) }, 0, "log of 3 leaves"},
		"a file with another operator's key": {func(_ *testing.T, in *installation) []string {
			return []string{"verify", in.file, "--operator-key", base64.StdEncoding.EncodeToString(make([]byte, 32))}
		}, 2, "BadAttestation"},
		"a file that is cut": {func(t *testing.T, in *installation) []string {
			b, err := os.ReadFile(in.file)
			check(t, err)
			check(t, os.WriteFile(in.file, b[:len(b)-3], 0o600))
			return []string{"verify", in.file, "--operator-key", in.operator}
		}, 3, "Torn"},
		"an object that is changed": {func(t *testing.T, in *installation) []string {
			b, err := os.ReadFile(filepath.Join(in.folder, in.object))
			check(t, err)
			b[len(b)-1] ^= 1
			in.put(t, in.object, b)
			return in.store("--all")
		}, 2, "ObjectChanged"},
		"no key":   {func(_ *testing.T, in *installation) []string { return []string{"verify", "--offline", in.file} }, 1, "--operator-key"},
		"no scope": {func(_ *testing.T, in *installation) []string { return in.store() }, 1, "say what to verify"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("XDG_STATE_HOME", t.TempDir())
			code, out, errs := run(c.args(t, install(t))...)
			if code != c.code || !strings.Contains(out+errs, c.want) {
				t.Errorf("code %d, want %d and %q in:\n%s%s", code, c.code, c.want, out, errs)
			}
			if strings.Contains(out, "\x1b") {
				t.Error("there are colors where there is no terminal")
			}
		})
	}
}

func TestVerifyRemembersTheLogThatItHasSeen(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	in := install(t)
	if code, out, errs := run(in.store("--all")...); code != 0 {
		t.Fatalf("code %d:\n%s%s", code, out, errs)
	}
	check(t, os.RemoveAll(filepath.Join(in.folder, "log")))
	in.publish(t, in.entries[:2])
	code, out, _ := run(in.store("--all", "-o", "json")...)
	var report struct {
		Findings []struct{ Code, Severity, What, Cause string }
	}
	check(t, json.NewDecoder(bytes.NewReader([]byte(out))).Decode(&report))
	found := false
	for _, f := range report.Findings {
		found = found || f.Code == "LogRolledBack" && f.Severity == "Tampered" && f.Cause != ""
	}
	if code != 2 || !found {
		t.Errorf("code %d, and no LogRolledBack in:\n%s", code, out)
	}
}
