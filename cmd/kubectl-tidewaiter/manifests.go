package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/tidewaiter/tidewaiter/api/manifest"
	"github.com/tidewaiter/tidewaiter/local"
	"github.com/tidewaiter/tidewaiter/proxy/session"
)

// The environment variables that --credentials-from-env reads.
const (
	userVariable     = "TIDEWAITER_USER"
	passwordVariable = "TIDEWAITER_PASSWORD"
)

// manifestFlags are the flags of commands that try a policy: where it is, and for whom.
type manifestFlags struct {
	files           []string
	as              string
	labels          map[string]string
	namespaceLabels map[string]string
	dataSource      string
	fromEnv         bool
}

// register adds the flags to a command; several says what happens where the subject may attach to several data sources.
func (m *manifestFlags) register(cmd *cobra.Command, several string) {
	f := cmd.Flags()
	f.StringSliceVarP(&m.files, "filename", "f", nil, "`file` or folder with manifests: DataSource, AccessPolicy, Secret, Namespace; may be repeated")
	f.StringVar(&m.as, "as", "", "whose access to try, as `namespace/serviceaccount` (default: the one that the policies name, if it is only one)")
	f.StringToStringVar(&m.labels, "labels", nil, "labels of the pod, as `key=value,...` (default: those that the policy's podSelector asks for)")
	f.StringToStringVar(&m.namespaceLabels, "namespace-labels", nil, "labels of the subject's namespace, as `key=value,...`, added to those of its manifest")
	f.StringVar(&m.dataSource, "datasource", "", "the DataSource, as `namespace/name` ("+several+")")
	f.BoolVar(&m.fromEnv, "credentials-from-env", false, "log in with "+userVariable+" and "+passwordVariable+" instead of the Secret of the DataSource")
	for _, name := range []string{"as", "labels", "namespace-labels", "datasource"} {
		f.Lookup(name).DefValue = ""                                      // an empty map is nothing to tell
		_ = cmd.RegisterFlagCompletionFunc(name, cobra.NoFileCompletions) // it exists
	}
}

// options reads the manifests and says for whom they are tried.
func (m *manifestFlags) options(getenv func(string) string) (local.Options, error) {
	if len(m.files) == 0 {
		return local.Options{}, errors.New("say where the manifests are: -f manifests/")
	}
	for flag, labels := range map[string]map[string]string{"--labels": m.labels, "--namespace-labels": m.namespaceLabels} {
		if err := checkLabels(flag, labels); err != nil {
			return local.Options{}, err
		}
	}
	set, err := manifest.Load(m.files...)
	if err != nil {
		return local.Options{}, err
	}
	subject, err := local.ChooseSubject(set, local.SubjectRequest{As: m.as, Labels: m.labels, NamespaceLabels: m.namespaceLabels})
	if err != nil {
		return local.Options{}, err
	}
	o := local.Options{Set: set, Subject: subject}
	if m.fromEnv {
		o.Credential, err = credentialFrom(getenv)
	}
	return o, err
}

// checkLabels refuses what no pod and no namespace can have: a typing mistake would otherwise try somebody else's access.
func checkLabels(flag string, labels map[string]string) error {
	for key, value := range labels {
		if wrong := validation.IsQualifiedName(key); len(wrong) > 0 {
			return fmt.Errorf("%s: %q is no key of a label: %s", flag, key, wrong[0])
		}
		if wrong := validation.IsValidLabelValue(value); len(wrong) > 0 {
			return fmt.Errorf("%s: %s=%s: %q is no value of a label: %s", flag, key, value, value, wrong[0])
		}
	}
	return nil
}

// credentialFrom reads the credential from the environment, where neither `ps` nor the shell's history shows it.
func credentialFrom(getenv func(string) string) (*session.Credential, error) {
	c := &session.Credential{User: getenv(userVariable), Password: getenv(passwordVariable)}
	if c.User == "" || c.Password == "" {
		return nil, fmt.Errorf("--credentials-from-env: set %s and %s", userVariable, passwordVariable)
	}
	return c, nil
}

// warn says what is legal in the manifests but hardly meant.
func warn(s streams, o local.Options) {
	for _, warning := range local.Warnings(o) {
		fmt.Fprintf(s.err, "warning: %s\n", warning)
	}
}

// stateDir is where recordings go that nobody gave a place: below $XDG_STATE_HOME, by the XDG base directory
// specification ~/.local/state.
func stateDir(getenv func(string) string) (string, error) {
	if dir := getenv("XDG_STATE_HOME"); len(dir) > 0 && os.IsPathSeparator(dir[0]) { // a relative one counts as not set
		return dir + "/tidewaiter", nil
	}
	if home := getenv("HOME"); home != "" {
		return home + "/.local/state/tidewaiter", nil
	}
	return "", errors.New("neither XDG_STATE_HOME nor HOME is set: say with --recordings where recordings go")
}
