// Package assets finds or makes the programs that a test's Kubernetes consists of: etcd, kube-apiserver and kubectl, of the
// version that hack/kube/go.mod names.
//
// [Find] only looks; [Get] also downloads or builds. It must not know what the programs are used for.
package assets

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
)

// Variable is the environment variable that says where the programs are, the same one that controller-runtime's envtest reads.
const Variable = "KUBEBUILDER_ASSETS"

// Programs are the names of the programs in the folder.
var Programs = []string{"etcd", "kube-apiserver", "kubectl"}

// ErrMissing says that this machine does not have the programs, and how to get them.
var ErrMissing = errors.New("etcd, kube-apiserver and kubectl are needed for a real Kubernetes API server, and are not there: " +
	"get them with: make kube-assets (it downloads them, or builds them from Go modules, once: about 12 minutes on two cores)")

// module is this repository's, as its go.mod begins.
const module = "module github.com/tidewaiter/tidewaiter\n"

// Root is the folder of this repository's go.mod: the working directory, or one above it, which is where go test and go run
// are called.
func Root() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		content, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(content), module) {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("%s is not in a clone of the repository: there is no go.mod of it there or above", start)
		}
	}
}

// Find returns the folder that holds all [Programs]: the one that [Variable] names, else what an earlier [Get] of the same
// version left behind. It makes nothing. A variable that names an incomplete folder is an error, since whoever set it meant
// something by it; else the error is [ErrMissing].
func Find() (string, error) {
	if dir := os.Getenv(Variable); dir != "" {
		if lacking := lacks(dir); len(lacking) > 0 {
			return "", fmt.Errorf("%s is %s, which lacks %s: unset it, or set it to what this prints: make -s kube-assets",
				Variable, dir, strings.Join(lacking, ", "))
		}
		return dir, nil
	}
	c, err := newCache()
	if err != nil {
		return "", err
	}
	if dir := c.find(); dir != "" {
		return dir, nil
	}
	return "", ErrMissing
}

// Get returns what [Find] does or, where that finds nothing, a new folder: downloaded by setup-envtest where that can deliver,
// else built from Go modules. Progress gets lines for people; other processes that want the same folder wait for this one.
func Get(ctx context.Context, progress io.Writer) (string, error) {
	dir, err := Find()
	if err == nil {
		return dir, nil
	}
	c, cacheErr := newCache()
	if cacheErr != nil {
		return "", cacheErr
	}
	if !errors.Is(err, ErrMissing) {
		_, _ = fmt.Fprintln(progress, "kube-assets:", err)
	}
	unlock, err := c.lock(ctx, progress)
	if err != nil {
		return "", err
	}
	defer unlock()
	if dir := c.find(); dir != "" { // made by the process that held the lock
		return dir, nil
	}
	dir, err = c.download(ctx, progress)
	if err == nil {
		return dir, nil
	}
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	_, _ = fmt.Fprintf(progress, "kube-assets: setup-envtest cannot deliver Kubernetes %s: %v\n", c.version, err)
	return c.build(ctx, progress)
}

// lacks returns the programs that are not in a folder.
func lacks(dir string) []string {
	return slices.DeleteFunc(slices.Clone(Programs), func(name string) bool {
		info, err := os.Stat(filepath.Join(dir, name))
		return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
	})
}

// cache is the user's folder of what was downloaded and built for any version and any clone.
type cache struct {
	root    string // of the repository
	dir     string
	version string // of Kubernetes: v1.37.2
	built   string // the folder of this version's build, whether it is there or not
	index   string // where setup-envtest asks what is offered; "" is its own choice
}

var kubernetes = regexp.MustCompile(`(?m)^\s*k8s\.io/kubernetes (v[0-9]+\.[0-9]+\.[0-9]+)$`)

func newCache() (*cache, error) {
	root, err := Root()
	if err != nil {
		return nil, err
	}
	user, err := os.UserCacheDir()
	if err != nil {
		return nil, fmt.Errorf("where to keep the programs of Kubernetes: %w; or set %s", err, Variable)
	}
	c := &cache{root: root, dir: filepath.Join(user, "tidewaiter", "kube")}
	hash := sha256.New()
	for _, name := range []string{"go.mod", "go.sum", "main.go"} {
		content, err := os.ReadFile(filepath.Join(c.source(), name))
		if err != nil {
			return nil, err
		}
		if found := kubernetes.FindSubmatch(content); name == "go.mod" && found != nil {
			c.version = string(found[1])
		}
		_, _ = fmt.Fprintf(hash, "%s %d\n%s", name, len(content), content) // a hash takes everything
	}
	if c.version == "" {
		return nil, fmt.Errorf("%s/go.mod requires no k8s.io/kubernetes", c.source())
	}
	_, _ = fmt.Fprintln(hash, runtime.GOOS, runtime.GOARCH, runtime.Version(), buildArguments(c.version))
	c.built = filepath.Join(c.dir, c.version+"-"+hex.EncodeToString(hash.Sum(nil)[:6]))
	return c, nil
}

// source is the folder of the module that is built.
func (c *cache) source() string { return filepath.Join(c.root, "hack", "kube") }

// minor is the version without its patch: 1.37.
func (c *cache) minor() string {
	version := strings.TrimPrefix(c.version, "v")
	return version[:strings.LastIndexByte(version, '.')]
}

// downloads is the folder that setup-envtest keeps its downloads in.
func (c *cache) downloads() string { return filepath.Join(c.dir, "envtest") }

// find returns the folder with the programs of this version, "" if there is none. A build is of exactly this version; a
// download is of the same minor version, since not every patch is offered.
func (c *cache) find() string {
	pattern := fmt.Sprintf("%s.*-%s-%s", c.minor(), runtime.GOOS, runtime.GOARCH)
	dirs, _ := filepath.Glob(filepath.Join(c.downloads(), "k8s", pattern)) // the only error is a bad pattern
	for _, dir := range append([]string{c.built}, dirs...) {
		if len(lacks(dir)) == 0 {
			return dir
		}
	}
	return ""
}
