// Package test holds what is asked of the repository as a whole: who may import
// whom, and how the code must read. It must not import a package of the product.
package test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
)

const module = "github.com/tidewaiter/tidewaiter/"

// rule says what packages must not import. Patterns without a dot in their first
// part are folders of this repository, "std" is every package of the standard
// library, and a pattern counts for everything below it too.
type rule struct {
	packages  string   // the folder it binds
	forbidden []string // what must not be imported
	except    []string // … but this may
	direct    bool     // binds what the packages themselves import, not what that imports in turn
	why       string
}

// rules is the table of docs/architecture.md. Folders that are still to come
// bring their rows with them.
var rules = []rule{
	{
		packages: "proxy", forbidden: []string{"controllers", "webhook", "api", "config", "k8s.io", "sigs.k8s.io"}, except: []string{"api/sidecar"},
		why: "the sidecar runs and is tested without a cluster, and stays small; what it says to the operator is all that they share",
	},
	{
		packages: "proxy/datasource", forbidden: []string{"api", "proxy/control", "proxy/server", "proxy/ship", "google.golang.org/grpc"},
		why: "a data source is the same behind an operator and on a laptop",
	},
	{
		packages: "proxy/control", forbidden: []string{"proxy/server", "proxy/ship", "proxy/sidecar", "proxy/config"},
		why: "what the operator says is judged apart from what serves by it",
	},
	{
		packages: "proxy/approval", forbidden: []string{"proxy/control", "proxy/protocol", "proxy/policy", "proxy/server"},
		why: "what waits for people outlives every stream to the operator, and knows no wire",
	},
	{
		packages: "proxy/ship", forbidden: []string{"proxy/control", "proxy/protocol", "proxy/policy", "proxy/server"},
		why: "recordings are files there, and the operator is an interface",
	},
	{
		packages: "proxy", forbidden: []string{"local", "test", "hack"},
		why: "the sidecar is built from its parts by cmd; it must not depend on a laptop's or a test's wiring",
	},
	{
		packages: "proxy/access", forbidden: []string{"*"}, except: []string{"std"},
		why: "the words that everybody shares stay neutral",
	},
	{
		packages:  "proxy/session",
		forbidden: []string{"proxy/protocol", "proxy/policy", "proxy/mask", "proxy/record", "recording", "github.com/open-policy-agent", "github.com/jackc"},
		why:       "stages are interfaces here, and implemented elsewhere",
	},
	{
		packages: "proxy/policy", forbidden: []string{"proxy/session", "proxy/protocol"},
		why: "policy knows operations, not wires",
	},
	{
		packages: "proxy/policy", forbidden: []string{"net/http"}, direct: true,
		why: "a decision asks nobody over the network",
	},
	{
		packages: "proxy/mask", forbidden: []string{"*"}, except: []string{"std"},
		why: "masks are pure functions of a type and a value",
	},
	{
		packages: "proxy/mask", forbidden: []string{"net", "os", "time"}, direct: true,
		why: "masks are pure functions of a type and a value",
	},
	{
		packages: "proxy/protocol/postgres", forbidden: []string{"proxy/policy", "proxy/record", "proxy/control", "proxy/upstream", "recording"},
		why: "a protocol acts only through session",
	},
	{
		packages: "proxy/protocol/postgres/core", forbidden: []string{"net", "os", "time", "sync", "context", "github.com/jackc"}, direct: true,
		why: "the core is sans-I/O: it opens no socket, starts no goroutine and reads no clock",
	},
	{
		packages: "proxy/protocol/postgres/analysis", forbidden: []string{"proxy/session", "proxy/mask", "proxy/policy"},
		why: "the analysis says what a statement is, never whether it may run",
	},
	{
		packages: "proxy/protocol/postgres/analysis", forbidden: []string{"net", "os", "time", "context"}, direct: true,
		why: "the analysis is a pure function of text, state and catalog",
	},
	{
		packages: "proxy/protocol/postgres/functions", forbidden: []string{"*"}, except: []string{"std"},
		why: "the list of functions is read by people; it says what a call does, and others decide",
	},
	{
		packages: "proxy/protocol/postgres/catalog", forbidden: []string{"proxy/session", "proxy/mask", "proxy/policy", "proxy/protocol/postgres/analysis"},
		why: "the catalog answers questions about names and numbers; whoever asks decides",
	},
	{
		packages: "proxy/protocol/postgres/rewrite", forbidden: []string{"proxy/session", "proxy/policy", "proxy/protocol/postgres/core", "proxy/protocol/postgres/wire"},
		why: "what a statement is rewritten to follows from its text, the catalog and the masks; whoever forwards it decides",
	},
	{
		packages: "proxy/protocol/postgres/rewrite", forbidden: []string{"net", "os", "time", "context"}, direct: true,
		why: "the rewrite is a pure function of text, catalog and masks",
	},
	{
		packages: "proxy/protocol/postgres/masktype", forbidden: []string{"proxy/session", "proxy/policy", "proxy/access", "proxy/protocol/postgres/analysis"},
		why: "it describes types: what becomes of values is for whoever asks",
	},
	{
		packages: "proxy/server", forbidden: []string{"proxy/protocol", "proxy/policy", "proxy/mask", "proxy/record", "proxy/datasource", "proxy/control"},
		why: "listeners know pipelines, not what runs in them",
	},
	{
		packages: "recording", forbidden: []string{"proxy"}, except: []string{"proxy/access"},
		why: "operator and plugin read recordings without the proxy",
	},
	{
		packages: "api", forbidden: []string{"controllers", "proxy", "local", "recording"},
		why: "types are below everything that uses them",
	},
	{
		packages: "controllers", forbidden: []string{"proxy", "webhook", "local"}, except: []string{"proxy/access"},
		why: "operator and sidecar share the bundle's format, the sidecar API and the words of recordings, no code",
	},
	{
		packages: "controllers/compile", forbidden: []string{"net", "net/http", "os", "k8s.io/client-go", "sigs.k8s.io/controller-runtime"}, direct: true,
		why: "the compiler is a pure function: the same manifests give the same bundle, byte for byte",
	},
	{
		packages: "authority", forbidden: []string{"api", "controllers", "webhook", "injection", "proxy", "local"},
		why: "who signs must not know for whom: operator, webhook and tests use it alike",
	},
	{
		packages: "controllers/credential", forbidden: []string{"controllers", "authority"}, except: []string{"controllers/credential"},
		why: "who reads secrets must not know who uses them",
	},
	{
		packages: "controllers/session", forbidden: []string{"controllers", "authority", "injection", "google.golang.org/grpc"}, except: []string{"controllers/session"},
		why: "Sessions are written from states; streams, tokens and secrets stay where they are",
	},
	{
		packages: "controllers/approvals", forbidden: []string{"controllers", "authority", "injection"}, except: []string{"controllers/approvals"},
		why: "what people are asked is concluded from questions and objects; streams, decisions and secrets stay where they are",
	},
	{
		packages: "controllers/phase", forbidden: []string{"controllers", "authority", "injection"},
		why: "the runner of steps knows no kind and nothing that steps look at",
	},
	{
		packages: "controllers/census", forbidden: []string{"controllers", "authority"}, except: []string{"controllers/phase"},
		why: "who has which generation is concluded from Sessions, however sidecars are spoken to",
	},
	{
		packages: "controllers/datasource", forbidden: []string{"controllers/distribute", "controllers/session", "authority"},
		why: "whether a data source can be used is found out at the data source, and what sidecars have from Sessions",
	},
	{
		packages: "controllers/accesspolicy", forbidden: []string{"controllers/distribute", "controllers/session", "controllers/credential", "authority", "github.com/jackc"},
		why: "whether a policy is in force is concluded from Sessions; no secret is needed for it",
	},
	{
		packages: "controllers/accessrequest", forbidden: []string{"controllers", "authority", "injection", "google.golang.org/grpc"},
		except: []string{"controllers/phase"},
		why:    "what people decided is concluded from objects of the API; who waits for it, and how they are told, is another's",
	},
	{
		packages: "approval", forbidden: []string{"controllers", "webhook", "proxy", "local", "k8s.io/client-go", "sigs.k8s.io/controller-runtime"},
		why: "webhook and operator must agree on what an approval needs, without knowing each other",
	},
	{
		packages: "approval", forbidden: []string{"net", "net/http", "os", "context"}, direct: true,
		why: "what becomes of a request is a pure function of objects, answers about rights, and the time",
	},
	{
		packages: "controllers/trust", forbidden: []string{"authority", "controllers/credential", "controllers/distribute"},
		why: "who copies certificates must not reach keys",
	},
	{
		packages: "controllers/notify", forbidden: []string{"controllers", "authority", "injection"}, except: []string{"controllers/notify"},
		why: "who tells of requests only reads them: neither secrets nor decisions are its business",
	},
	{
		packages: "controllers/recordings", forbidden: []string{"controllers", "api", "k8s.io", "sigs.k8s.io"},
		except: []string{"controllers/recordings"},
		why:    "segments are verified and kept the same, however sidecars are spoken to and wherever the operator runs",
	},
	{
		packages: "controllers/recordings/gather", forbidden: []string{"*"}, except: []string{"std"},
		why: "what is on its way is bytes: nothing of it was verified",
	},
	{
		packages: "controllers/audit", forbidden: []string{"controllers", "authority", "injection", "api"}, except: []string{"controllers/audit"},
		why: "who serves recordings to auditors knows neither sidecars nor who keeps the bucket and its keys",
	},
	{
		packages: "controllers/audit/wire", forbidden: []string{"*"}, except: []string{"std"},
		why: "what operator and plugin say to each other is built without either",
	},
	{
		packages: "recording/ledger", forbidden: []string{"recording/store", "gocloud.dev", "api", "controllers", "k8s.io", "sigs.k8s.io"},
		why: "whoever audits a log needs its objects, wherever they are, and no cluster",
	},
	{
		packages: "recording/ledger", forbidden: []string{"net", "net/http", "os"}, direct: true,
		why: "the log is a function of named objects",
	},
	{
		packages: "controllers/ledger", forbidden: []string{"controllers", "api", "authority", "injection", "recording/store", "gocloud.dev", "google.golang.org/grpc"},
		except: []string{"controllers/ledger"},
		why:    "the log is kept for whoever appends to it, in whatever bucket it is given",
	},
	{
		packages: "controllers/acquired", forbidden: []string{"controllers", "authority", "google.golang.org/grpc", "api/sidecar"},
		except: []string{"controllers/acquired"},
		why:    "what columns carry is kept with their DataSource, whoever says so",
	},
	{
		packages: "controllers/budget", forbidden: []string{"controllers", "api", "authority", "injection", "google.golang.org/grpc"}, except: []string{"controllers/budget"},
		why: "the ledger counts for whoever asks; what the limit is, and who asks, is found out elsewhere",
	},
	{
		packages: "operator", forbidden: []string{"proxy", "local", "recording/replay", "github.com/pganalyze"}, except: []string{"proxy/access"},
		why: "the operator runs no part of the sidecar, and builds without C; recordings it verifies and keeps",
	},
	{
		packages: "injection", forbidden: []string{"api", "controllers", "webhook", "proxy", "local", "k8s.io/client-go", "sigs.k8s.io/controller-runtime"},
		why: "webhook and operator must agree on what an injected pod is, without knowing each other",
	},
	{
		packages: "injection", forbidden: []string{"net", "net/http", "os", "time"}, direct: true,
		why: "whether a pod is injected is a pure function of the pod",
	},
	{
		packages: "webhook", forbidden: []string{"controllers", "proxy", "local", "recording"},
		why: "admission must not wait for reconciliation, and does no network I/O",
	},
	{
		packages: "webhook/annotation", forbidden: []string{"net", "net/http", "os", "time", "k8s.io/client-go", "sigs.k8s.io/controller-runtime"}, direct: true,
		why: "annotations are parsed without knowing where they come from",
	},
	{
		packages: "webhook/inject", forbidden: []string{"net", "net/http", "os", "time", "context", "k8s.io/client-go", "sigs.k8s.io/controller-runtime"}, direct: true,
		why: "injection is a pure function: the same pod gives the same patch",
	},
	{
		packages: "plugin", forbidden: []string{"proxy", "local", "webhook", "operator", "authority", "recording", "github.com/spf13", "k8s.io/cli-runtime"},
		except: []string{"proxy/access", "recording"}, // which plugin/reader alone reads
		why:    "what the plugin says of a cluster rests on the API alone: it shares with the sidecar nothing but what is written there, and knows no flags",
	},
	{
		packages: "plugin", forbidden: []string{"controllers/distribute", "controllers/credential", "controllers/session", "controllers/recordings"},
		why: "of the operator it shares whom a policy selects, so that both say the same, and nothing that holds a stream or a secret",
	},
	{
		packages: "plugin/reader", forbidden: []string{"plugin", "controllers", "api"}, except: []string{"controllers/audit/wire"},
		why: "the way to recordings is the same whatever they are read for",
	},
	{
		packages: "recording/audit", forbidden: []string{"plugin", "controllers", "api", "k8s.io", "github.com/spf13"},
		why: "what verifies knows recordings and objects, and nothing of clusters or flags",
	},
	{
		packages: "plugin/verify", forbidden: []string{"plugin", "controllers", "api"}, except: []string{"plugin/table"},
		why: "keys and looks of verification need neither our kinds nor what the operator is made of",
	},
	{
		packages: "plugin/cluster", forbidden: []string{"recording"},
		why: "what the plugin says of a cluster rests on the API alone",
	},
	{
		packages: "plugin/table", forbidden: []string{"*"}, except: []string{"std"},
		why: "how answers look is the same whatever they are about",
	},
	{
		packages: "plugin/approval", forbidden: []string{"plugin", "recording"}, except: []string{"plugin/cluster", "plugin/table"},
		why: "answering a request needs the request and its rules, not the state of the installation",
	},
	{
		packages: "config", forbidden: []string{"*"}, except: []string{"std"},
		why: "it holds files",
	},
	{
		packages: "test/postgrestest", forbidden: []string{"api", "controllers", "proxy", "recording", "local"},
		why: "the real server of the tests must not depend on what is tested",
	},
	{
		packages: "test/kubetest", forbidden: []string{"api", "controllers", "webhook", "proxy", "recording", "local", "config", "cmd"},
		why: "the real API server of the tests must not depend on what is tested",
	},
	{
		packages: "test/s3test", forbidden: []string{"api", "controllers", "proxy", "recording", "local", "operator"},
		why: "the real S3 server of the tests must not depend on what is tested",
	},
	{
		packages: "test/kubetest/assets", forbidden: []string{"*"}, except: []string{"std"},
		why: "it says how to get Kubernetes before anything of Kubernetes is compiled",
	},
	{
		packages: "test/conformance", forbidden: []string{"api", "controllers", "proxy", "recording", "local"},
		why: "other people's suites see the proxy as a client does",
	},
	{
		packages: "test/frameworks", forbidden: []string{"api", "controllers", "proxy", "recording", "local"},
		why: "other people's suites see the proxy as a client does",
	},
	{
		packages: "test/corpus", forbidden: []string{"api", "controllers", "proxy", "recording", "local"},
		why: "the judge believes only what the client received and what the server logged",
	},
	{
		packages: "test/redteam", forbidden: []string{"api", "controllers", "proxy", "recording", "local"},
		why: "an attack that shared the product's parser would share its mistakes",
	},
	{
		packages: "test/tap", forbidden: []string{"api", "controllers", "proxy", "recording", "local"},
		why: "what looks at the bytes that a client receives must not decode them as the proxy does",
	},
	{
		packages: "test/differential", forbidden: []string{"api", "controllers", "proxy", "recording", "local"},
		why: "a mistake that both sides of the comparison made would not show",
	},
}

// owner says who alone may import a package directly.
type owner struct {
	pkg string
	by  []string
	why string
}

var owners = []owner{
	{
		pkg: "github.com/pganalyze/pg_query_go", by: []string{"proxy/protocol/postgres/analysis", "proxy/protocol/postgres/rewrite"},
		why: "the C parser is reached only behind the guard that keeps hostile text from crashing it; rewrite sees what passed it",
	},
	{
		pkg: "github.com/open-policy-agent", by: []string{"proxy/policy", "controllers/compile"},
		why: "Rego is compiled in one place and evaluated in one place, each with cut-down capabilities",
	},
	{
		pkg: "github.com/jackc/pgx", by: []string{"proxy/protocol/postgres", "controllers/datasource", "recording/against", "test", "hack", "local"},
		why: "the sidecar speaks to servers through session, and of the operator only the probe of a DataSource does; a session is run again by itself",
	},
	{
		pkg: module + "recording/recordingtest", by: []string{"test"},
		why: "it makes recordings that nobody has recorded",
	},
	{
		pkg: "github.com/spf13/cobra", by: []string{"cmd"},
		why: "libraries take options, not flags",
	},
	{
		pkg: module + "operator", by: []string{"cmd", "test", "hack"},
		why: "it wires controllers and webhook into one process, which none of them may know",
	},
	{
		pkg: "google.golang.org/grpc", by: []string{"api/sidecar", "proxy/control", "controllers", "cmd", "test"},
		why: "one package at each end keeps the stream; nothing else in the sidecar speaks to the operator",
	},
	{
		pkg: "google.golang.org/grpc", by: []string{"api/sidecar", "controllers/distribute", "proxy/control", "test"},
		why: "operator and sidecars speak in one place on each side",
	},
	{
		pkg: module + "local", by: []string{"cmd", "test", "hack"},
		why: "it wires operator and sidecar into one process, which neither of them may know",
	},
}

func TestPackagesDoNotReachWhatTheyMustNotKnow(t *testing.T) {
	g := repository(t)
	for _, r := range rules {
		bound := g.below(r.packages)
		if len(bound) == 0 {
			t.Errorf("the rule for %s binds no package: is the folder gone?", r.packages)
		}
		for _, from := range bound {
			if chain := g.reach(from, &r); chain != nil {
				t.Errorf("%s must not import %s: %s\n\timported as %s", r.packages, short(chain[len(chain)-1]), r.why, names(chain))
			}
		}
	}
}

func TestPackagesWithOneOwnerAreImportedByNobodyElse(t *testing.T) {
	g := repository(t)
	for _, o := range owners {
		for _, from := range g.below("") {
			for _, imp := range g[from].Imports {
				if below(imp, o.pkg) && !below(from, o.pkg) && !belowAny(short(from), o.by) {
					t.Errorf("%s must not import %s, only %s may: %s", short(from), short(imp), strings.Join(o.by, ", "), o.why)
				}
			}
		}
	}
}

// pkg is what `go list -json` says of a package.
type pkg struct {
	ImportPath, Dir, Name, Doc string
	Standard                   bool
	Imports                    []string
	GoFiles, TestGoFiles       []string
	XTestGoFiles               []string
}

// graph holds every package that this module's packages need, by import path.
type graph map[string]*pkg

// repository lists the packages of this module and all that they import. Test
// files are not bound by the rules: they may use whatever proves most.
var load = sync.OnceValues(func() (graph, error) {
	fields := "-json=ImportPath,Dir,Name,Doc,Standard,Imports,GoFiles,TestGoFiles,XTestGoFiles"
	cmd := exec.Command("go", "list", "-deps", fields, "./...")
	cmd.Dir = ".."
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, errors.Join(err, errors.New(stderr.String()))
	}
	g := graph{}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		switch err := dec.Decode(&p); {
		case errors.Is(err, io.EOF):
			return g, nil
		case err != nil:
			return nil, err
		}
		g[p.ImportPath] = &p
	}
})

func repository(t *testing.T) graph {
	t.Helper()
	g, err := load()
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// below returns this module's packages in a folder, sorted.
func (g graph) below(folder string) []string {
	var out []string
	for path := range g {
		if strings.HasPrefix(path, module) && (folder == "" || below(short(path), folder)) {
			out = append(out, path)
		}
	}
	slices.Sort(out)
	return out
}

// reach returns the shortest chain of imports from a package to one that r
// forbids it, or nil.
func (g graph) reach(from string, r *rule) []string {
	seen := map[string]bool{from: true}
	for queue := [][]string{{from}}; len(queue) > 0; queue = queue[1:] {
		chain := queue[0]
		for _, imp := range g[chain[len(chain)-1]].Imports {
			if seen[imp] {
				continue
			}
			seen[imp] = true
			next := append(slices.Clip(chain), imp)
			if r.forbids(imp, g.standard(imp)) {
				return next
			}
			if !r.direct && !g.standard(imp) {
				queue = append(queue, next)
			}
		}
	}
	return nil
}

func (g graph) standard(path string) bool {
	p := g[path]
	return p == nil || p.Standard // "C" and "unsafe" are no packages
}

func (r *rule) forbids(path string, standard bool) bool {
	path = short(path)
	if below(path, r.packages) || belowAny(path, r.except) || (standard && slices.Contains(r.except, "std")) {
		return false
	}
	for _, f := range r.forbidden {
		if f == "*" || path == f || (!standard && below(path, f)) {
			return true
		}
	}
	return false
}

func below(path, folder string) bool {
	return path == folder || strings.HasPrefix(path, folder+"/")
}

func belowAny(path string, folders []string) bool {
	return slices.ContainsFunc(folders, func(f string) bool { return below(path, f) })
}

func short(path string) string { return strings.TrimPrefix(path, module) }

func names(chain []string) string {
	out := make([]string, len(chain))
	for i := range chain {
		out[i] = short(chain[i])
	}
	return strings.Join(out, " -> ")
}
