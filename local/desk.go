package local

import (
	"encoding/json"
	"errors"
	"net/http"
)

// Decision is what somebody answers.
type Decision struct {
	Approve bool   `json:"approve"`
	By      string `json:"by"`
	Reason  string `json:"reason,omitempty"`
}

// maxDecision bounds the body of a request, in bytes.
const maxDecision = 16 << 10

// Handler lets other processes of this user see and answer what waits: GET /held is a list of Held, and POST /held/NAMESPACE/NAME
// takes a Decision. It is served on a socket that nobody else can open.
func (p *People) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /held", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(p.Held()) // whoever asked has gone
	})
	mux.HandleFunc("POST /held/{namespace}/{name}", func(w http.ResponseWriter, r *http.Request) {
		var d Decision
		decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxDecision))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&d); err != nil {
			http.Error(w, "not a decision: "+err.Error(), http.StatusBadRequest)
			return
		}
		err := p.Answer(r.PathValue("namespace")+"/"+r.PathValue("name"), d.Approve, d.By, d.Reason)
		switch {
		case errors.Is(err, ErrNotHeld):
			http.Error(w, err.Error(), http.StatusNotFound)
		case err != nil:
			http.Error(w, err.Error(), http.StatusInternalServerError)
		default:
			w.WriteHeader(http.StatusNoContent)
		}
	})
	return mux
}
