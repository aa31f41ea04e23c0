// Package config is how a sidecar is configured: every setting is declared once, in the table of [Config.Settings], with its
// flag, its default and its description, and judged in [Config.Check].
//
// It must not know how flags are parsed or what is done with a setting. There is no secret among them: what is secret comes
// from the operator, into memory.
package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/tidewaiter/tidewaiter/proxy/control"
)

// Config of a sidecar. Defaults gives one that only needs to be told about the operator and the data sources.
type Config struct {
	Operator    string
	Identity    string
	Spool       string
	SpoolLimit  int64
	Health      string
	DataSources []string
	Memory      int64
	Connections int
	Drain       time.Duration
	ReportEvery time.Duration
	LogLevel    string

	// Pod is whose sidecar this is, as the downward API says. It is a claim: the operator decides by the token.
	Pod Pod
}

// Pod names a pod.
type Pod struct{ Namespace, Name, UID string }

// Environment variables of the downward API.
const (
	EnvPodName      = "POD_NAME"
	EnvPodNamespace = "POD_NAMESPACE"
	EnvPodUID       = "POD_UID"
)

// Setting is a setting on the command line.
type Setting struct {
	Flag  string
	Usage string // the word in backquotes names the value
	Value any    // *string, *[]string, *int, *int64 or *time.Duration, which holds the default
}

// Defaults returns the configuration without what has none.
func Defaults() *Config {
	return &Config{
		Identity: "/var/run/tidewaiter/identity", Spool: "/var/lib/tidewaiter", SpoolLimit: 192 << 20, Health: "0.0.0.0:15021",
		Memory: 128 << 20, Connections: 1000, Drain: 25 * time.Second, ReportEvery: time.Minute, LogLevel: LogInfo,
	}
}

// Settings is the table of settings.
func (c *Config) Settings() []Setting {
	return []Setting{
		{"operator", "`address` (host:port) of the operator's gRPC service", &c.Operator},
		{"identity", "`folder` with the sidecar's token (token) and the operator's CA (ca.crt)", &c.Identity},
		{"data-source", "`namespace/name` of a DataSource to serve; once for each", &c.DataSources},
		{"spool", "`folder` in which recordings wait until the operator has them", &c.Spool},
		{"spool-limit", "`bytes` of recordings that may wait; beyond it new statements are refused", &c.SpoolLimit},
		{"health", "`address` for /healthz, /readyz and /metrics", &c.Health},
		{"memory-limit", "`bytes` of memory to stay within; new connections are refused when three quarters are in use", &c.Memory},
		{"max-connections", "`number` of client connections over all data sources", &c.Connections},
		{"drain-timeout", "`time` that what is under way has to finish after SIGTERM", &c.Drain},
		{"log-level", "`level` of the log: info, what an operator must know, or debug", &c.LogLevel},
		{"report-interval", "`time` between reports to the operator", &c.ReportEvery},
	}
}

// FromEnvironment takes what the downward API gives.
func (c *Config) FromEnvironment(getenv func(string) string) {
	c.Pod = Pod{Namespace: getenv(EnvPodNamespace), Name: getenv(EnvPodName), UID: getenv(EnvPodUID)}
}

// Levels of the log. No level shows a secret.
const (
	LogInfo  = "info"
	LogDebug = "debug"
)

// Level of the log.
func (c *Config) Level() slog.Level {
	if c.LogLevel == LogDebug {
		return slog.LevelDebug
	}
	return slog.LevelInfo
}

// maxDataSources of one sidecar.
const maxDataSources = 32

const minMemory = 32 << 20 // bytes, below which the garbage collector would do nothing but run

// Check says what is wrong, and the cure.
func (c *Config) Check() error {
	var errs []error
	wrong := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	wrong(!address(c.Operator), "--operator %q: write it as host:port, such as tidewaiter-operator.tidewaiter-system.svc:8443", c.Operator)
	wrong(!address(c.Health), "--health %q: write it as host:port, such as 0.0.0.0:15021", c.Health)
	wrong(c.Identity == "", "--identity: name the folder with token and ca.crt")
	wrong(c.Spool == "", "--spool: name a folder for recordings")
	wrong(len(c.DataSources) == 0 || len(c.DataSources) > maxDataSources, "--data-source: name 1 to %d DataSources", maxDataSources)
	for i, name := range c.DataSources {
		wrong(!control.ValidName(name), "--data-source %q: write it as namespace/name, such as data/orders", name)
		wrong(slices.Contains(c.DataSources[:i], name), "--data-source %s: it is named twice", name)
	}
	wrong(c.SpoolLimit < 1<<20, "--spool-limit %d: give it at least %d bytes", c.SpoolLimit, 1<<20)
	wrong(c.Memory < minMemory, "--memory-limit %d: give it at least %d bytes", c.Memory, minMemory)
	wrong(c.Connections < 1, "--max-connections %d: allow at least one", c.Connections)
	wrong(c.Drain <= 0, "--drain-timeout %v: give it a positive time, such as 25s", c.Drain)
	wrong(c.ReportEvery <= 0, "--report-interval %v: give it a positive time, such as 1m", c.ReportEvery)
	wrong(c.LogLevel != LogInfo && c.LogLevel != LogDebug, "--log-level %q: it is one of %s, %s", c.LogLevel, LogInfo, LogDebug)
	wrong(c.Pod.UID == "", "%s is not set: set it in the container's env from the field metadata.uid", EnvPodUID)
	return errors.Join(errs...)
}

// address reports whether s is host:port.
func address(s string) bool {
	host, port, err := net.SplitHostPort(s)
	if err != nil || host == "" {
		return false
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n > 0
}
