package recording_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/recording"
)

// written is a recording of n events and its end mark.
func written(t *testing.T, n int) []byte {
	t.Helper()
	var out bytes.Buffer
	w := recording.NewWriter(&out)
	for i := range n {
		if err := w.Append(access.Event{Kind: access.EventDecided, Time: time.Unix(int64(i), 0), Decided: &access.Decided{Text: "select"}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestWholeRecordsAreFoundWhereverTheBytesAreCut(t *testing.T) {
	all := written(t, 4)
	if err := recording.StartsWith(all); err != nil {
		t.Fatal(err)
	}
	records := all[recording.HeaderSize:]
	total, end, ended, err := recording.Start().Whole(records, len(records))
	if err != nil || total != len(records) || !ended || end.Seq != 5 {
		t.Fatalf("all: %d of %d bytes, %+v, ended %v, %v", total, len(records), end, ended, err)
	}
	before := 0
	for cut := range records {
		n, at, ended, err := recording.Start().Whole(records[:cut], cut)
		if err != nil || ended || n < before || n > cut {
			t.Fatalf("cut at %d: %d bytes, ended %v, %v", cut, n, ended, err)
		}
		if before = n; n > 0 {
			m, last, ended, err := at.Whole(records[n:], len(records))
			if n+m != total || last != end || !ended || err != nil {
				t.Fatalf("from %d on: %d bytes, %+v, %v", n, m, last, err)
			}
		}
	}
	if n, at, _, err := recording.Start().Whole(records, 1); n == 0 || at.Seq != 1 || err != nil {
		t.Errorf("the first is always taken: %d bytes, %+v, %v", n, at, err)
	}
}

func TestWhatWasChangedIsNoWholeRecord(t *testing.T) {
	records := written(t, 3)[recording.HeaderSize:]
	for at := range records {
		changed := bytes.Clone(records)
		changed[at] ^= 0x10
		n, _, _, err := recording.Start().Whole(changed, len(changed))
		var broken *recording.BrokenError
		if !errors.As(err, &broken) || n > at {
			t.Fatalf("byte %d was changed: %d bytes are taken, %v", at, n, err)
		}
	}
	_, second, _, _ := recording.Start().Whole(records, 1)
	if n, _, _, err := second.Whole(records, len(records)); n != 0 || err == nil {
		t.Errorf("the first once more: %d bytes, %v", n, err)
	}
}
