package injection

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
)

// Bounds of a Status.
const (
	// MaxDataSources that one pod may attach to.
	MaxDataSources = 16
	// maxStatusBytes bounds what is parsed of a pod's annotation: 16 names of at most 317 bytes, and the rest.
	maxStatusBytes = 8 << 10
	// StatusVersion of the JSON and of the container that is made from it.
	StatusVersion = 1
)

// Mode is how the proxy runs in its pod. The zero value is no mode.
type Mode string

// Modes.
const (
	// ModeNative is an init container that keeps running beside the others (KEP-753): it is ready before any other
	// container starts, and ends after them.
	ModeNative Mode = "Native"
	// ModeContainer is an ordinary container, for clusters without native sidecars. Init containers do not reach data
	// sources then, and applications have to retry their first connection.
	ModeContainer Mode = "Container"
)

// LogLevel of the proxy. The zero value is no level.
type LogLevel string

// Log levels.
const (
	// LogInfo tells what an operator of the pod has to know.
	LogInfo LogLevel = "info"
	// LogDebug tells more; never a value or a credential.
	LogDebug LogLevel = "debug"
)

// Status is the content of StatusAnnotation: everything besides the operator's Settings that the injected container and
// its volumes depend on, so that who holds both can say what they must look like. It is written by the webhook and
// readable, and forgeable, by everybody who may write pods: it is believed only as far as the container agrees.
type Status struct {
	// Version is StatusVersion.
	Version int `json:"version"`
	// DataSources are namespace/name, sorted, each once.
	DataSources []string `json:"dataSources"`
	// Sidecar is how the proxy runs.
	Sidecar Mode `json:"sidecar"`
	// HealthPort is where the kubelet asks.
	HealthPort int32 `json:"healthPort"`
	// LogLevel of the proxy.
	LogLevel LogLevel `json:"logLevel"`
	// SpoolSize is the limit of the volume for recordings.
	SpoolSize string `json:"spoolSize"`
	// MemoryLimit of the container, as the proxy is told of it. Empty when there is none.
	MemoryLimit string `json:"memoryLimit,omitempty"`
}

// Marshal returns the one text that stands for the status.
func (s *Status) Marshal() (string, error) {
	if err := s.check(); err != nil {
		return "", err
	}
	text, err := json.Marshal(s)
	return string(text), err
}

// ParseStatus reads what Marshal wrote, and nothing else: another spelling of the same status was not written by us.
func ParseStatus(text string) (*Status, error) {
	if len(text) > maxStatusBytes {
		return nil, fmt.Errorf("longer than %d bytes", maxStatusBytes)
	}
	var s Status
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return nil, fmt.Errorf("not the JSON that injection writes: %w", err)
	}
	canonical, err := s.Marshal()
	if err != nil {
		return nil, err
	}
	if canonical != text {
		return nil, errors.New("not the JSON that injection writes")
	}
	return &s, nil
}

func (s *Status) check() error {
	switch {
	case s.Version != StatusVersion:
		return fmt.Errorf("version %d, where %d is known", s.Version, StatusVersion)
	case len(s.DataSources) == 0 || len(s.DataSources) > MaxDataSources:
		return fmt.Errorf("%d data sources, where 1 to %d are possible", len(s.DataSources), MaxDataSources)
	case !slices.IsSorted(s.DataSources) || len(slices.Compact(slices.Clone(s.DataSources))) != len(s.DataSources):
		return errors.New("data sources that are not sorted, or twice there")
	case s.Sidecar != ModeNative && s.Sidecar != ModeContainer:
		return fmt.Errorf("unknown sidecar %q", s.Sidecar)
	case s.HealthPort < 1024 || s.HealthPort > 65535:
		return fmt.Errorf("healthPort %d, where 1024 to 65535 are possible", s.HealthPort)
	case s.LogLevel != LogInfo && s.LogLevel != LogDebug:
		return fmt.Errorf("unknown logLevel %q", s.LogLevel)
	case !isSize(s.SpoolSize):
		return fmt.Errorf("spoolSize %q is no size", s.SpoolSize)
	case s.MemoryLimit != "" && !isSize(s.MemoryLimit):
		return fmt.Errorf("memoryLimit %q is no size", s.MemoryLimit)
	}
	for _, name := range s.DataSources {
		if _, _, err := SplitDataSource(name); err != nil {
			return err
		}
	}
	return nil
}

func isSize(text string) bool {
	q, err := resource.ParseQuantity(text)
	return err == nil && q.Sign() > 0 && Size(q) == text
}

// Size is the one spelling of a size in a Status.
func Size(q resource.Quantity) string { return resource.NewQuantity(q.Value(), q.Format).String() }

// threeQuarters of a size in bytes: what the proxy keeps to by itself, so that neither the kubelet (a volume above its
// limit evicts the pod) nor the kernel (memory) has to step in.
func threeQuarters(size string) string {
	q, err := resource.ParseQuantity(size)
	if err != nil {
		return "0" // which the proxy refuses; check has seen to it that it does not come to that
	}
	return strconv.FormatInt(q.Value()/4*3, 10)
}

var (
	namespaceName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)
	objectName    = regexp.MustCompile(`^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$`)
)

// SplitDataSource takes namespace/name apart.
func SplitDataSource(full string) (namespace, name string, err error) {
	namespace, name, _ = strings.Cut(full, "/")
	if !namespaceName.MatchString(namespace) || !objectName.MatchString(name) {
		return "", "", fmt.Errorf("%.320q is not namespace/name of a DataSource", full)
	}
	return namespace, name, nil
}
