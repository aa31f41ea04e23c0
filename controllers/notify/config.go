package notify

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"
)

// Bounds of the file.
const (
	maxFile    = 256 << 10 // bytes
	maxSinks   = 16
	maxHeaders = 16
	maxValue   = 4 << 10 // bytes of a header's value
	minKey     = 24      // bytes of a signing key, as Standard Webhooks asks
	maxKey     = 64
)

// Format is how a notice is written.
type Format string

// The formats.
const (
	// CloudEvents is CloudEvents 1.0, structured, in JSON.
	CloudEvents Format = "CloudEvents"
	// Slack is the body of an incoming webhook of Slack.
	Slack Format = "Slack"
	// Teams is an Adaptive Card for a Microsoft Teams workflow.
	Teams Format = "Teams"
)

// Event is something that happens to an AccessRequest.
type Event string

// The events: the states of an AccessRequest, and its condition BrokenGlass.
const (
	Pending     Event = "Pending"
	Approved    Event = "Approved"
	Denied      Event = "Denied"
	Expired     Event = "Expired"
	Withdrawn   Event = "Withdrawn"
	Revoked     Event = "Revoked"
	BrokenGlass Event = "BrokenGlass"
)

var events = []Event{Pending, Approved, Denied, Expired, Withdrawn, Revoked, BrokenGlass}

// Config is the file: where notices go.
type Config struct {
	// Sinks get notices: at most 16.
	Sinks []Sink `json:"sinks"`
}

// Sink is one receiver.
type Sink struct {
	// Name in logs and metrics; a DNS label.
	Name string `json:"name"`
	// URL to post to. It is a secret: nothing of it is logged.
	URL string `json:"url"`
	// Format of the body.
	Format Format `json:"format"`
	// Namespaces whose requests are told; left out, all.
	Namespaces []string `json:"namespaces,omitempty"`
	// Events that are told; left out, all.
	Events []Event `json:"events,omitempty"`
	// SigningKey, in base64, with or without whsec_ before it: 24 to 64 bytes.
	SigningKey string `json:"signingKey,omitempty"`
	// SigningKeyFile has the same in a file.
	SigningKeyFile string `json:"signingKeyFile,omitempty"`
	// Headers of every request.
	Headers map[string]string `json:"headers,omitempty"`
	// CAFile has the certificates, in PEM, that the receiver's is verified by; left out, the system's.
	CAFile string `json:"caFile,omitempty"`
	// Insecure permits http://: whoever is on the way reads notices, and alters them where they are not signed.
	Insecure bool `json:"insecure,omitempty"`

	key []byte
	ca  []byte
}

// Load reads the file. Its errors name the field and the cure, and hold no value that may be a secret.
func Load(file string) (*Config, error) {
	raw, err := readBounded(file, maxFile)
	if err != nil {
		return nil, err
	}
	c, err := Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return c, nil
}

// Parse reads a file's content: YAML, without any field that is not known.
func Parse(raw []byte) (*Config, error) {
	c := &Config{}
	if err := yaml.UnmarshalStrict(raw, c); err != nil {
		return nil, fmt.Errorf("cannot be read as YAML with a list sinks: %w", err)
	}
	if len(c.Sinks) == 0 || len(c.Sinks) > maxSinks {
		return nil, fmt.Errorf("sinks: has %d entries: give it 1 to %d, or leave --notify out", len(c.Sinks), maxSinks)
	}
	var errs []error
	seen := map[string]bool{}
	for i := range c.Sinks {
		s := &c.Sinks[i]
		if err := s.check(); err != nil {
			errs = append(errs, fmt.Errorf("sinks[%d].%w", i, err))
		} else if seen[s.Name] {
			errs = append(errs, fmt.Errorf("sinks[%d].name: %q is there twice: give each sink a name of its own", i, s.Name))
		}
		seen[s.Name] = true
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return c, nil
}

// check refuses a sink that would not do what it says.
func (s *Sink) check() error {
	if len(validation.IsDNS1123Label(s.Name)) > 0 {
		return fmt.Errorf("name: %q is not a DNS label: use up to 63 of a-z, 0-9 and -", s.Name)
	}
	switch s.Format {
	case CloudEvents, Slack, Teams:
	default:
		return fmt.Errorf("format: %q is none of CloudEvents, Slack, Teams", s.Format)
	}
	for i, n := range s.Namespaces {
		if len(validation.IsDNS1123Label(n)) > 0 {
			return fmt.Errorf("namespaces[%d]: %q is not the name of a namespace", i, n)
		}
	}
	for i, e := range s.Events {
		if !slices.Contains(events, e) {
			return fmt.Errorf("events[%d]: %q is none of %v", i, e, events)
		}
	}
	if err := s.checkURL(); err != nil {
		return err
	}
	if err := s.checkHeaders(); err != nil {
		return err
	}
	return s.readFiles()
}

// checkURL does not say what the URL is.
func (s *Sink) checkURL() error {
	u, err := url.Parse(s.URL)
	switch {
	case err != nil || u.Host == "" || u.Opaque != "":
		return errors.New("url: is not a URL with a host: write https://host/path")
	case u.User != nil:
		return errors.New("url: holds a user or password: send it as a header instead")
	case u.Scheme == "https":
		return nil
	case u.Scheme == "http" && s.Insecure:
		return nil
	case u.Scheme == "http":
		return errors.New("url: is not https: use https, or say insecure: true if nobody on the way matters")
	}
	return errors.New("url: is neither https nor http: write https://host/path")
}

// reserved headers are set by the sender itself.
var reserved = []string{"host", "content-type", "content-length", "content-encoding", "transfer-encoding", "connection", "user-agent", headerID, headerTime, headerSignature}

var headerName = regexp.MustCompile(`^[A-Za-z0-9-]{1,64}$`)

func (s *Sink) checkHeaders() error {
	if len(s.Headers) > maxHeaders {
		return fmt.Errorf("headers: has %d entries: at most %d", len(s.Headers), maxHeaders)
	}
	for name, value := range s.Headers {
		switch {
		case !headerName.MatchString(name):
			return fmt.Errorf("headers: %q is not the name of a header", name)
		case slices.Contains(reserved, strings.ToLower(name)):
			return fmt.Errorf("headers: %s is set by the operator: leave it out", name)
		case len(value) > maxValue || strings.ContainsFunc(value, func(c rune) bool { return c < ' ' || c > '~' }):
			return fmt.Errorf("headers: the value of %s cannot be sent: use one line of at most %d bytes", name, maxValue)
		}
	}
	return nil
}

func (s *Sink) readFiles() error {
	text := s.SigningKey
	if s.SigningKeyFile != "" {
		if text != "" {
			return errors.New("signingKeyFile: signingKey is there as well: set one of them")
		}
		raw, err := readBounded(s.SigningKeyFile, 1<<10)
		if err != nil {
			return fmt.Errorf("signingKeyFile: %w", err)
		}
		if text = string(bytes.TrimSpace(raw)); text == "" {
			return errors.New("signingKeyFile: is empty: put the key into it, in base64")
		}
	}
	if text != "" {
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(text, "whsec_"))
		if err != nil || len(key) < minKey || len(key) > maxKey {
			return fmt.Errorf("signingKey: is not %d to %d bytes in base64: make one by openssl rand -base64 32", minKey, maxKey)
		}
		s.key = key
	}
	if s.CAFile != "" {
		var err error
		if s.ca, err = readBounded(s.CAFile, maxFile); err != nil {
			return fmt.Errorf("caFile: %w", err)
		}
	}
	return nil
}

// wants reports whether a sink is told of an event.
func (s *Sink) wants(namespace string, e Event) bool {
	return (len(s.Namespaces) == 0 || slices.Contains(s.Namespaces, namespace)) && (len(s.Events) == 0 || slices.Contains(s.Events, e))
}

func readBounded(file string, most int64) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(raw)) > most {
		err = fmt.Errorf("%s is longer than %d bytes", file, most)
	}
	return raw, err
}
