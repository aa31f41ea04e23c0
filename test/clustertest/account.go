package clustertest

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"k8s.io/client-go/rest"
)

// kubeconfig writes the configuration by which the operator's process is its service account: what config/rbac does not
// grant is refused. The token is renewed as a kubelet does it.
func (c *Cluster) kubeconfig(ctx context.Context) (string, error) {
	token := filepath.Join(c.dir, "operator-token")
	if err := c.renew(ctx, token); err != nil {
		return "", err
	}
	c.stopTick()
	tick, stop := context.WithCancel(context.WithoutCancel(ctx))
	c.stopTick = stop
	go func() {
		for {
			select {
			case <-tick.Done():
				return
			case <-time.After(tokenLife):
				_ = c.renew(tick, token) // the operator tells when its token has ended
			}
		}
	}()
	config := &rest.Config{Host: c.API.Config.Host, BearerTokenFile: token}
	config.CAData = c.API.Config.CAData
	name, err := c.API.WriteKubeConfig("operator", config)
	if err != nil {
		return "", err
	}
	raw, err := os.ReadFile(name)
	if err != nil {
		return "", err
	}
	mine := filepath.Join(c.dir, "operator.kubeconfig") // the API server's own folder is its user's
	return mine, writeReadable(mine, raw)
}

func (c *Cluster) renew(ctx context.Context, file string) error {
	token, err := c.API.UnboundToken(ctx, namespace, account)
	if err != nil {
		return err
	}
	return writeReadable(file, []byte(token))
}

// writeReadable replaces a file at once, for readers that are another user.
func writeReadable(file string, content []byte) error {
	next := file + ".next"
	if err := os.WriteFile(next, content, 0o644); err != nil {
		return err
	}
	return os.Rename(next, file)
}
