// Command kubeassets prints the folder with etcd, kube-apiserver and kubectl, for the variable KUBEBUILDER_ASSETS: where they
// are already, else after setup-envtest downloaded them, else after building them from Go modules. What it is doing goes to
// standard error.
//
// It must not know Tidewaiter: its work is all in test/kubetest/assets.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/tidewaiter/tidewaiter/test/kubetest/assets"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	dir, err := assets.Get(ctx, os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
	fmt.Println(dir)
}
