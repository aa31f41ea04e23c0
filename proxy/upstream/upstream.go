// Package upstream opens connections to a data source: TCP or a unix socket, with
// the TLS settings and the credential of the DataSource.
//
// It must not know what is spoken on them, who asks, or where the credential was
// kept before: that is given to it.
package upstream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/session"
)

// dialTimeout bounds a TCP connect.
const dialTimeout = 10 * time.Second

// Mode says how far the connection is protected, in libpq's words.
type Mode string

// The modes. The zero Mode is refused by New.
const (
	Disable    Mode = "disable"     // plain text
	Require    Mode = "require"     // encrypted, to whoever answers
	VerifyCA   Mode = "verify-ca"   // encrypted, to a server certified by the CA
	VerifyFull Mode = "verify-full" // and whose certificate names the host
)

// Options of a Dialer.
type Options struct {
	Host     string // name or address; one that begins with "/" is the folder of a unix socket
	Port     uint16
	Database string
	Mode     Mode
	// CA holds PEM certificates for the verifying modes; empty: the system's.
	CA []byte
	// ClientCertificate and ClientKey are PEM, for servers that want them.
	ClientCertificate []byte
	ClientKey         []byte
}

// Dialer opens connections. It is safe for concurrent use.
type Dialer struct {
	opt        Options
	tls        *tls.Config
	credential atomic.Pointer[session.Credential]
}

// New checks the options and returns a dialer without a credential; until it has
// one, Dial refuses.
func New(opt Options) (*Dialer, error) {
	cfg, err := tlsConfig(opt)
	if err != nil {
		return nil, err
	}
	return &Dialer{opt: opt, tls: cfg}, nil
}

// Use sets the credential for connections from now on.
func (d *Dialer) Use(c session.Credential) { d.credential.Store(&c) }

// Dial opens a connection. It is not authenticated yet, nor encrypted: in
// PostgreSQL both are part of the protocol.
func (d *Dialer) Dial(ctx context.Context, _ access.Identity) (*session.Upstream, error) {
	cred := d.credential.Load()
	if cred == nil {
		return nil, errors.New("upstream: no credential yet")
	}
	network, address := "tcp", net.JoinHostPort(d.opt.Host, strconv.Itoa(int(d.opt.Port)))
	if strings.HasPrefix(d.opt.Host, "/") {
		network, address = "unix", fmt.Sprintf("%s/.s.PGSQL.%d", d.opt.Host, d.opt.Port)
	}
	nd := net.Dialer{Timeout: dialTimeout}
	conn, err := nd.DialContext(ctx, network, address)
	if err != nil {
		return nil, fmt.Errorf("upstream: %w", err)
	}
	up := &session.Upstream{
		Conn: conn, Host: d.opt.Host, Port: d.opt.Port, Database: d.opt.Database, Credential: *cred,
		Proven: network == "unix" || d.opt.Mode == VerifyFull || d.opt.Mode == VerifyCA && len(d.opt.CA) > 0,
	}
	if d.tls != nil {
		up.TLS = d.tls.Clone()
	}
	return up, nil
}

func tlsConfig(opt Options) (*tls.Config, error) {
	if opt.Mode == Disable {
		return nil, nil
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: opt.Host}
	if len(opt.CA) > 0 {
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(opt.CA) {
			return nil, errors.New("upstream: the CA holds no PEM certificate")
		}
	}
	if len(opt.ClientCertificate) > 0 {
		pair, err := tls.X509KeyPair(opt.ClientCertificate, opt.ClientKey)
		if err != nil {
			return nil, errors.New("upstream: the client certificate and key do not fit") // the cause could quote the key
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	switch opt.Mode {
	case VerifyFull:
	case VerifyCA:
		verifyChainOnly(cfg)
	case Require:
		cfg.InsecureSkipVerify = true // what the mode means: it keeps listeners out, not impostors
	default:
		return nil, fmt.Errorf("upstream: TLS mode %q is not one of disable, require, verify-ca, verify-full", opt.Mode)
	}
	return cfg, nil
}

// verifyChainOnly makes cfg check who certified the server and not its name.
func verifyChainOnly(cfg *tls.Config) {
	cfg.InsecureSkipVerify = true // VerifyConnection does what is left of it
	roots := cfg.RootCAs
	cfg.VerifyConnection = func(state tls.ConnectionState) error {
		if len(state.PeerCertificates) == 0 {
			return errors.New("upstream: the server showed no certificate")
		}
		rest := x509.NewCertPool()
		for _, c := range state.PeerCertificates[1:] {
			rest.AddCert(c)
		}
		_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: rest})
		return err
	}
}
