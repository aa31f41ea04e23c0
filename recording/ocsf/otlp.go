package ocsf

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	"google.golang.org/protobuf/proto"
)

// batch is how many records one request has, timeout how long it may take, and maxAnswer what is read of its answer, in bytes.
const (
	batch     = 256
	timeout   = 30 * time.Second
	maxAnswer = 64 << 10
)

// OTLP sends events as log records over OTLP/HTTP (protobuf): the body is the event as JSON. It is not safe for concurrent use.
type OTLP struct {
	url     string
	client  *http.Client
	pending []*logs.LogRecord
}

// NewOTLP returns one that sends to a collector, such as http://collector:4318; without a path, /v1/logs is used.
func NewOTLP(endpoint string) (*OTLP, error) {
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		return nil, fmt.Errorf("%q is no URL of a collector: write it as http://host:4318 or https://host:4318, without a password", endpoint)
	}
	if strings.Trim(u.Path, "/") == "" {
		u.Path = "/v1/logs"
	}
	return &OTLP{url: u.String(), client: &http.Client{Timeout: timeout}}, nil
}

// Send takes an event, and sends those that have gathered where they are enough.
func (o *OTLP) Send(ctx context.Context, e *Event) error {
	body, err := json.Marshal(e)
	if err != nil {
		return err
	}
	severity := map[int]logs.SeverityNumber{
		informational: logs.SeverityNumber_SEVERITY_NUMBER_INFO, low: logs.SeverityNumber_SEVERITY_NUMBER_INFO2,
		medium: logs.SeverityNumber_SEVERITY_NUMBER_WARN, high: logs.SeverityNumber_SEVERITY_NUMBER_ERROR,
	}[e.SeverityID]
	o.pending = append(o.pending, &logs.LogRecord{
		TimeUnixNano: uint64(e.Time) * 1e6, ObservedTimeUnixNano: uint64(time.Now().UnixNano()), SeverityNumber: severity, Body: text(string(body)),
		Attributes: []*common.KeyValue{
			{Key: "ocsf.class_uid", Value: &common.AnyValue{Value: &common.AnyValue_IntValue{IntValue: int64(e.ClassUID)}}},
			{Key: "tidewaiter.event", Value: text(e.Metadata.UID)},
		},
	})
	if len(o.pending) < batch {
		return nil
	}
	return o.Flush(ctx)
}

// Flush sends what has gathered. What a collector rejects, in whole or in part, is an error.
func (o *OTLP) Flush(ctx context.Context) error {
	if len(o.pending) == 0 {
		return nil
	}
	body, err := proto.Marshal(&collector.ExportLogsServiceRequest{ResourceLogs: []*logs.ResourceLogs{{
		Resource:  &resource.Resource{Attributes: []*common.KeyValue{{Key: "service.name", Value: text("tidewaiter")}}},
		ScopeLogs: []*logs.ScopeLogs{{Scope: &common.InstrumentationScope{Name: "tidewaiter.dev/recording"}, LogRecords: o.pending}},
	}}})
	if err != nil {
		return err
	}
	o.pending = nil
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, o.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/x-protobuf")
	response, err := o.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return err
	}
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("the collector answered %s", response.Status)
	}
	said := &collector.ExportLogsServiceResponse{}
	if err := proto.Unmarshal(answer, said); err == nil && said.GetPartialSuccess().GetRejectedLogRecords() > 0 {
		return fmt.Errorf("the collector rejected %d events: %q", said.GetPartialSuccess().GetRejectedLogRecords(), said.GetPartialSuccess().GetErrorMessage())
	}
	return nil
}

func text(s string) *common.AnyValue {
	return &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: strings.ToValidUTF8(s, "�")}}
}
