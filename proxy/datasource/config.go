package datasource

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"log/slog"
	"reflect"

	"github.com/tidewaiter/tidewaiter/proxy/protocol"
	"github.com/tidewaiter/tidewaiter/proxy/record"
	"github.com/tidewaiter/tidewaiter/proxy/session"
	"github.com/tidewaiter/tidewaiter/proxy/upstream"
)

// Config is everything that is configured of a data source but its policy, which comes as a bundle (see [Gate.Use]). It holds
// secrets, and prints as the data source's name alone.
type Config struct {
	// Settings of the protocol. Settings.DataSource names the data source, "namespace/name". Settings.ClientTLS and
	// Settings.Keep are not used: see Certificate and Parts.
	Settings protocol.Settings
	// Target is where the data source is.
	Target upstream.Options
	// Credential enters it.
	Credential session.Credential
	// Certificate is shown to clients that ask for TLS; nil: they are told that there is none.
	Certificate *tls.Certificate
	// Durability of its recordings.
	Durability record.Durability
	// Loss says what happens to statements that cannot be recorded.
	Loss record.Loss
}

// Name of the data source, "namespace/name".
func (c Config) Name() string { return c.Settings.DataSource }

// String hides the secrets from every formatter.
func (c Config) String() string { return "DataSource " + c.Name() }

// GoString hides the secrets from %#v.
func (c Config) GoString() string { return c.String() }

// LogValue hides the secrets from logs.
func (c Config) LogValue() slog.Value { return slog.StringValue(c.String()) }

var (
	_ fmt.GoStringer = Config{}
	_ slog.LogValuer = Config{}
)

// Dialer returns a dialer to the target that has the credential.
func (c Config) Dialer() (*upstream.Dialer, error) {
	d, err := upstream.New(c.Target)
	if err != nil {
		return nil, err
	}
	d.Use(c.Credential)
	return d, nil
}

// sameTags reports whether the columns' tags and the trusted functions are the same.
func (c *Config) sameTags(o *Config) bool {
	return reflect.DeepEqual(c.Settings.Classifications, o.Settings.Classifications) && reflect.DeepEqual(c.Settings.Acquired, o.Settings.Acquired) &&
		reflect.DeepEqual(c.Settings.Trusted, o.Settings.Trusted)
}

// samePipeline reports whether connections that are open under c may go on under o: whether they differ in nothing but what
// can be changed below them.
func (c *Config) samePipeline(o *Config) bool {
	return reflect.DeepEqual(c.settled(), o.settled()) && bytes.Equal(c.Settings.MaskKey, o.Settings.MaskKey)
}

// settled is what cannot be changed below an open connection.
func (c *Config) settled() any {
	s := c.Settings
	s.Classifications, s.Acquired, s.Trusted, s.MaskKey, s.ClientTLS, s.Keep = nil, nil, nil, nil, nil, nil
	t := c.Target
	t.CA, t.ClientCertificate, t.ClientKey = bytes.Clone(t.CA), bytes.Clone(t.ClientCertificate), bytes.Clone(t.ClientKey)
	return []any{s, t, c.Durability, c.Loss, c.Certificate != nil}
}
