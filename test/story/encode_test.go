package story

import (
	"encoding/base64"

	"github.com/tidewaiter/tidewaiter/test/clustertest"
)

func base64Of(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func clustertestHopeless(err error) error { return clustertest.Hopeless(err) }
