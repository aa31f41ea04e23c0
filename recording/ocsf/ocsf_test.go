package ocsf_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	"google.golang.org/protobuf/proto"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/recording/ocsf"
	"github.com/tidewaiter/tidewaiter/recording/recordingtest"
)

// required are the attributes that OCSF 1.3.0 requires of each class, and of the objects in it.
var required = map[float64][]string{
	6005: {"activity_id", "actor", "category_uid", "class_uid", "metadata.version", "metadata.product.vendor_name", "severity_id", "src_endpoint.name", "time", "type_uid", "database.type_id", "database.name"},
	2004: {"activity_id", "category_uid", "class_uid", "finding_info.title", "finding_info.uid", "metadata.version", "metadata.product.vendor_name", "severity_id", "time", "type_uid"},
}

func has(m map[string]any, path string) bool {
	first, rest, more := strings.Cut(path, ".")
	v, ok := m[first]
	if !ok || v == nil || v == "" {
		return false
	}
	if !more {
		return true
	}
	inner, ok := v.(map[string]any)
	return ok && has(inner, rest)
}

func mapped(t *testing.T, events []access.Event) (out []map[string]any, all []*ocsf.Event) {
	var m ocsf.Mapper
	for i := range events {
		all = append(all, m.Map(uint64(i+1), &events[i])...)
	}
	all = append(all, m.Rest(uint64(len(events)))...)
	for _, e := range all {
		b, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		var v map[string]any
		if err := json.Unmarshal(b, &v); err != nil {
			t.Fatal(err)
		}
		out = append(out, v)
	}
	return out, all
}

func TestEveryEventHasWhatItsClassRequires(t *testing.T) {
	events := recordingtest.Golden(t, "../testdata/session.twr")
	out, _ := mapped(t, events)
	classes, uids := map[float64]int{}, map[any]bool{}
	for _, e := range out {
		class := e["class_uid"].(float64)
		classes[class]++
		for _, path := range required[class] {
			if !has(e, path) {
				t.Errorf("class %v has no %s: %v", class, path, e)
			}
		}
		if e["type_uid"].(float64) != class*100+e["activity_id"].(float64) || e["category_uid"].(float64) != float64(int(class)/1000) {
			t.Errorf("numbers do not fit each other: %v", e)
		}
		uid := e["metadata"].(map[string]any)["uid"]
		if uids[uid] {
			t.Errorf("%v comes twice", uid)
		}
		uids[uid] = true
	}
	statements, denied, alarms := map[int64]bool{}, 0, 0
	for i := range events {
		e := &events[i]
		switch {
		case e.Decided != nil:
			statements[e.Statement] = true
			if e.Decided.Observed {
				denied++
			}
		case e.Ended != nil && e.Ended.Outcome == access.OutcomeDenied:
			denied++
		case e.Kind == access.EventDisagreed:
			alarms++
		}
	}
	if classes[6005] != len(statements)+1 || classes[2004] != denied+alarms || denied == 0 || alarms == 0 {
		t.Errorf("%v for %d statements, %d denied and %d alarms", classes, len(statements), denied, alarms)
	}
}

func TestNeitherRowsNorParametersAreExported(t *testing.T) {
	at := time.Unix(1000, 0)
	out, _ := mapped(t, []access.Event{
		{Kind: access.EventOpened, Time: at, Opened: &access.Opened{Session: "s"}},
		{Kind: access.EventDecided, Time: at, Statement: 1, Decided: &access.Decided{Text: "select $1", Effect: "Allow", Kinds: []string{"Select"}, Parameters: []access.Value{{Text: "canary"}}}},
		{Kind: access.EventRows, Time: at, Statement: 1, Rows: &access.Rows{Values: [][]access.Value{{{Text: "canary"}}}}},
	})
	b, _ := json.Marshal(out)
	if strings.Contains(string(b), "canary") || len(out) != 2 || !strings.Contains(string(b), "no end is recorded") {
		t.Errorf("exported: %s", b)
	}
}

func TestACollectorGetsEveryEventAndItsRefusalIsAnError(t *testing.T) {
	got, refuse := 0, false
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		m, answer := &collector.ExportLogsServiceRequest{}, &collector.ExportLogsServiceResponse{}
		if err := proto.Unmarshal(body, m); err != nil || r.URL.Path != "/v1/logs" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		for _, l := range m.ResourceLogs[0].ScopeLogs[0].LogRecords {
			if json.Valid([]byte(l.Body.GetStringValue())) && l.TimeUnixNano > 0 && l.SeverityNumber > 0 {
				got++
			}
		}
		if refuse {
			answer.PartialSuccess = &collector.ExportLogsPartialSuccess{RejectedLogRecords: 1, ErrorMessage: "full"}
		}
		b, _ := proto.Marshal(answer)
		_, _ = w.Write(b)
	}))
	defer server.Close()
	_, all := mapped(t, recordingtest.Golden(t, "../testdata/session.twr"))
	o, err := ocsf.NewOTLP(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		for _, e := range all {
			if err := o.Send(t.Context(), e); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := o.Flush(t.Context()); err != nil || got != 100*len(all) {
		t.Errorf("%d of %d, %v", got, 100*len(all), err)
	}
	refuse = true
	_ = o.Send(t.Context(), all[0])
	if err := o.Flush(t.Context()); err == nil || !strings.Contains(err.Error(), "full") {
		t.Errorf("a refusal is %v", err)
	}
	for _, bad := range []string{"", "collector:4318", "ftp://x", "http://u:p@x"} {
		if _, err := ocsf.NewOTLP(bad); err == nil {
			t.Errorf("%q is taken for a collector", bad)
		}
	}
}
