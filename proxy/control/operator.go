package control

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"

	sidecarv1alpha1 "github.com/tidewaiter/tidewaiter/api/sidecar/v1alpha1"
)

// Names of the files in the identity folder, which the pod's projected volume has.
const (
	tokenFile = "token"
	caFile    = "ca.crt"
)

const (
	maxMessage     = 16 << 20 // bytes of one message
	maxIdentity    = 64 << 10 // bytes of token or CA
	connectTimeout = 10 * time.Second
)

// Identity is the folder with the sidecar's token and the operator's CA. Both change while the sidecar runs, so that they are
// read again for every stream.
type Identity string

// Check reports whether there is something to connect with.
func (i Identity) Check() error {
	if _, err := i.roots(); err != nil {
		return err
	}
	_, err := i.token()
	return err
}

func (i Identity) roots() (*x509.CertPool, error) {
	pem, err := readBounded(filepath.Join(string(i), caFile))
	if err != nil {
		return nil, fmt.Errorf("the operator's CA: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("the operator's CA: %s holds no PEM certificate", filepath.Join(string(i), caFile))
	}
	return pool, nil
}

func (i Identity) token() (string, error) {
	token, err := readBounded(filepath.Join(string(i), tokenFile))
	if err != nil {
		return "", fmt.Errorf("the sidecar's token: %w", err)
	}
	if token = bytes.TrimSpace(token); len(token) == 0 {
		return "", fmt.Errorf("the sidecar's token: %s is empty", filepath.Join(string(i), tokenFile))
	}
	return string(token), nil
}

func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxIdentity+1))
	if err == nil && len(b) > maxIdentity {
		err = fmt.Errorf("%s is larger than %d bytes", path, maxIdentity)
	}
	return b, err
}

// bearer gives a stream the token of the moment.
type bearer struct{ identity Identity }

// GetRequestMetadata reads the token.
func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	token, err := b.identity.token()
	if err != nil {
		return nil, err
	}
	return map[string]string{"authorization": "Bearer " + token}, nil
}

// RequireTransportSecurity keeps the token off connections in plain text.
func (bearer) RequireTransportSecurity() bool { return true }

// stream is an open stream with what it was opened by.
type stream struct {
	grpc.BidiStreamingClient[sidecarv1alpha1.ConnectRequest, sidecarv1alpha1.ConnectResponse]
	conn  *grpc.ClientConn
	roots *x509.CertPool
}

// connect opens a stream to an operator at host:port. It ends with ctx; close has to be called in any case.
func connect(ctx context.Context, address string, id Identity) (*stream, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("the operator's address: %w", err)
	}
	roots, err := id.roots()
	if err != nil {
		return nil, err
	}
	conn, err := grpc.NewClient("passthrough:///"+address,
		grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS13, RootCAs: roots, ServerName: host})),
		grpc.WithPerRPCCredentials(bearer{id}),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.DefaultConfig, MinConnectTimeout: connectTimeout}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(1<<20)),
		grpc.WithNoProxy(), grpc.WithDisableServiceConfig(), // nobody else says where a credential comes from
	)
	if err != nil {
		return nil, err
	}
	open, err := sidecarv1alpha1.NewSidecarServiceClient(conn).Connect(ctx)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return &stream{BidiStreamingClient: open, conn: conn, roots: roots}, nil
}

func (s *stream) close() { _ = s.conn.Close() } // there is nothing left to do about it
