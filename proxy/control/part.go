package control

import (
	"crypto/ed25519"
	"crypto/tls"
	"math"
	"regexp"

	sidecarv1alpha1 "github.com/tidewaiter/tidewaiter/api/sidecar/v1alpha1"
	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/datasource"
	"github.com/tidewaiter/tidewaiter/proxy/protocol"
	"github.com/tidewaiter/tidewaiter/proxy/record"
	"github.com/tidewaiter/tidewaiter/proxy/session"
	"github.com/tidewaiter/tidewaiter/proxy/upstream"
)

// Part is one data source of a snapshot, as the sidecar is to serve it.
type Part struct {
	Config   datasource.Config
	Port     int
	Identity access.Identity
	// Bundle is to be verified by Key, and not used otherwise.
	Bundle []byte
	Key    ed25519.PublicKey
}

// maskKeySize is the size of a key for the strategy Hash, in bytes.
const maskKeySize = 32

// name is what "namespace/name" may be, by the rules of Kubernetes for both: it becomes the name of a folder.
var name = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?/[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?$`)

// ValidName reports whether s can be a data source's "namespace/name".
func ValidName(s string) bool { return name.MatchString(s) }

// modes of TLS. What is not in it cannot be served.
var modes = map[sidecarv1alpha1.TLSMode]upstream.Mode{
	sidecarv1alpha1.TLSMode_TLS_MODE_DISABLE:     upstream.Disable,
	sidecarv1alpha1.TLSMode_TLS_MODE_REQUIRE:     upstream.Require,
	sidecarv1alpha1.TLSMode_TLS_MODE_VERIFY_CA:   upstream.VerifyCA,
	sidecarv1alpha1.TLSMode_TLS_MODE_VERIFY_FULL: upstream.VerifyFull,
}

// PartOf reads a data source of a snapshot. What is missing or not understood refuses it; a refusal holds no secret.
func PartOf(ds *sidecarv1alpha1.DataSource, key ed25519.PublicKey) (Part, *Refusal) {
	pg := ds.GetPostgres()
	mode, known := modes[pg.GetTls().GetMode()]
	switch {
	case !ValidName(ds.GetName()):
		return Part{}, refuse(ReasonSettingsInvalid, "%q is not a data source's namespace/name", ds.GetName())
	case pg == nil:
		return Part{}, refuse(ReasonSettingsInvalid, "this sidecar does not know the data source's protocol: update it")
	case pg.GetHost() == "" || pg.GetHost()[0] == '/' || !port(pg.GetPort()) || pg.GetDatabase() == "":
		return Part{}, refuse(ReasonSettingsInvalid, "host, port or database of the data source are missing")
	case !known:
		return Part{}, refuse(ReasonSettingsInvalid, "TLS mode %v of the data source is not known", pg.GetTls().GetMode())
	case !port(ds.GetListen().GetPort()):
		return Part{}, refuse(ReasonSettingsInvalid, "port %d to listen on is none", ds.GetListen().GetPort())
	case ds.GetCredential().GetUsername() == "":
		return Part{}, refuse(ReasonSettingsInvalid, "there is no credential")
	case len(ds.GetMaskKey()) != maskKeySize:
		return Part{}, refuse(ReasonSettingsInvalid, "the mask key has %d bytes, and %d are needed", len(ds.GetMaskKey()), maskKeySize)
	}
	certificate, refusal := certificateOf(ds.GetListen())
	if refusal != nil {
		return Part{}, refusal
	}
	out := Part{
		Port: int(ds.GetListen().GetPort()), Bundle: ds.GetBundle(), Key: key, Identity: identityOf(ds.GetIdentity()),
		Config: datasource.Config{
			Settings: settingsOf(ds), Certificate: certificate,
			Target: upstream.Options{
				Host: pg.GetHost(), Port: uint16(pg.GetPort()), Database: pg.GetDatabase(), Mode: mode, CA: pg.GetTls().GetCa(),
				ClientCertificate: pg.GetTls().GetCertificateChain(), ClientKey: pg.GetTls().GetPrivateKey(),
			},
			Credential: session.Credential{User: ds.GetCredential().GetUsername(), Password: ds.GetCredential().GetPassword()},
		},
	}
	if ds.GetRecording().GetAsynchronous() {
		out.Config.Durability = record.Async
	}
	if ds.GetRecording().GetServe() {
		out.Config.Loss = record.Serve
	}
	return out, nil
}

func port(n uint32) bool { return n > 0 && n < 1<<16 }

// certificateOf is what clients are shown; nil means that there is none.
func certificateOf(l *sidecarv1alpha1.Listen) (*tls.Certificate, *Refusal) {
	if len(l.GetCertificateChain()) == 0 && len(l.GetPrivateKey()) == 0 {
		return nil, nil
	}
	pair, err := tls.X509KeyPair(l.GetCertificateChain(), l.GetPrivateKey())
	if err != nil { // the cause could quote the key
		return nil, refuse(ReasonSettingsInvalid, "the listener's certificate and key are not a PEM certificate and its key")
	}
	return &pair, nil
}

func settingsOf(ds *sidecarv1alpha1.DataSource) protocol.Settings {
	out := protocol.Settings{
		Protocol: "postgres", DataSource: ds.GetName(), Database: ds.GetPostgres().GetDatabase(),
		Trusted: ds.GetTrustedFunctions(), MaskKey: ds.GetMaskKey(),
		RecordRows: ds.GetRecording().GetRows() && !ds.GetRecording().GetDigests(), DigestRows: ds.GetRecording().GetDigests(),
	}
	for _, c := range ds.GetClassifications() {
		out.Classifications = append(out.Classifications, protocol.Classification{Columns: c.GetColumns(), Tags: c.GetTags()})
	}
	for _, q := range ds.GetAcquired() {
		out.Acquired = append(out.Acquired, protocol.Acquired{
			Relation: q.GetRelation(), Number: attribute(q.GetNumber()), Schema: q.GetSchema(), Name: q.GetName(), Tags: q.GetTags(),
		})
	}
	return out
}

// attribute is a column's number; one that is none stands for every column.
func attribute(n int32) int16 {
	if n < 0 || n > math.MaxInt16 {
		return 0
	}
	return int16(n)
}

func identityOf(id *sidecarv1alpha1.Identity) access.Identity {
	return access.Identity{
		Namespace: id.GetNamespace(), ServiceAccount: id.GetServiceAccount(), Pod: id.GetPod(), PodUID: id.GetPodUid(), Labels: id.GetLabels(),
	}
}
