package config_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/proxy/config"
)

// whole is a configuration that can be run.
func whole() *config.Config {
	c := config.Defaults()
	c.Operator, c.DataSources = "tidewaiter-operator.tidewaiter-system.svc:8443", []string{"data/orders"}
	c.FromEnvironment(func(name string) string { return "value of " + name })
	return c
}

func TestTheDefaultsNeedOnlyOperatorDataSourceAndPod(t *testing.T) {
	c := whole()
	if err := c.Check(); err != nil || c.Pod.UID != "value of POD_UID" {
		t.Errorf("%v, %+v", err, c.Pod)
	}
	if err := config.Defaults().Check(); err == nil || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("without them: %v", err)
	}
}

func TestWhatIsWrongIsNamedByItsFlagAndCured(t *testing.T) {
	for want, change := range map[string]func(*config.Config){
		`--operator "operator": write it as host:port`:           func(c *config.Config) { c.Operator = "operator" },
		`--operator "operator:0": write it`:                      func(c *config.Config) { c.Operator = "operator:0" },
		`--health ":15021": write it as host:port`:               func(c *config.Config) { c.Health = ":15021" },
		`--identity: name the folder`:                            func(c *config.Config) { c.Identity = "" },
		`--spool: name a folder`:                                 func(c *config.Config) { c.Spool = "" },
		`--data-source: name 1 to 32`:                            func(c *config.Config) { c.DataSources = nil },
		`--data-source "../etc": write it as namespace/name`:     func(c *config.Config) { c.DataSources = []string{"../etc"} },
		`--data-source data/a: it is named twice`:                func(c *config.Config) { c.DataSources = []string{"data/a", "data/a"} },
		`--spool-limit 0: give it at least`:                      func(c *config.Config) { c.SpoolLimit = 0 },
		`--memory-limit 1: give it at least`:                     func(c *config.Config) { c.Memory = 1 },
		`--max-connections 0: allow at least one`:                func(c *config.Config) { c.Connections = 0 },
		`--drain-timeout 0s: give it a positive time`:            func(c *config.Config) { c.Drain = 0 },
		`--report-interval 0s: give it a positive time`:          func(c *config.Config) { c.ReportEvery = 0 },
		`--log-level "loud": it is one of info, debug`:           func(c *config.Config) { c.LogLevel = "loud" },
		`POD_UID is not set: set it in the container's env from`: func(c *config.Config) { c.Pod.UID = "" },
	} {
		c := whole()
		change(c)
		if err := c.Check(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestEverySettingIsDeclaredOnceAndSaysWhatItTakes(t *testing.T) {
	var flags []string
	for _, s := range whole().Settings() {
		if slices.Contains(flags, s.Flag) || strings.Count(s.Usage, "`") != 2 {
			t.Errorf("--%s: %s", s.Flag, s.Usage)
		}
		flags = append(flags, s.Flag)
	}
}
