package core

import "github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/analysis"

// confirm applies what a statement takes away, once the server has said that it
// succeeded. What was made after it stays, and so does the portal that it runs in.
func (n *names) confirm(st *analysis.Statement, when int, runs *portal) {
	for _, e := range st.Effects {
		switch e.Kind {
		case analysis.DeallocateName:
			forget(n.prepared, e.Name, when)
		case analysis.DeallocateAll:
			n.forgetPrepared(when)
		case analysis.CloseCursor:
			forget(n.cursors, e.Name, when)
			n.forgetPortal(e.Name, when, nil)
		case analysis.CloseAll:
			n.forgetCursors(when, runs)
		case analysis.DiscardAll:
			n.forgetPrepared(when)
			n.forgetCursors(when, runs)
		}
	}
}

func forget(from map[string][]*prepared, name string, when int) {
	var kept []*prepared
	for _, p := range from[name] {
		if p.born >= when {
			kept = append(kept, p)
		}
	}
	if kept == nil {
		delete(from, name)
		return
	}
	from[name] = kept
}

// forgetPrepared drops all statements but the unnamed one, which DEALLOCATE ALL
// leaves alone.
func (n *names) forgetPrepared(when int) {
	for name := range n.prepared {
		if name != "" {
			forget(n.prepared, name, when)
		}
	}
}

func (n *names) forgetCursors(when int, but *portal) {
	for name := range n.cursors {
		forget(n.cursors, name, when)
	}
	for name := range n.portals {
		n.forgetPortal(name, when, but)
	}
}

func (n *names) forgetPortal(name string, when int, but *portal) {
	if p := n.portals[name]; p != nil && p != but && p.born < when {
		p.end()
		delete(n.portals, name)
	}
}

// endTransaction drops every portal: none outlives its transaction. SQL cursors
// stay, since one WITH HOLD may.
func (n *names) endTransaction() {
	for name, p := range n.portals {
		p.end()
		delete(n.portals, name)
	}
}
