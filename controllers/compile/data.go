package compile

import (
	"fmt"
	"slices"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
)

// document is data.tidewaiter.bundle, what the Rego library interprets. Rules are
// referred to by their index in Rules.
type document struct {
	DataSource string `json:"dataSource"` // "namespace/name"
	// Enforcing and Observing say whether a policy of that mode is among them.
	Enforcing  bool         `json:"enforcing"`
	Observing  bool         `json:"observing"`
	Policies   []policy     `json:"policies"`
	Predicates []predicates `json:"predicates"`
	Masks      masks        `json:"masks"`
	Rules      []rule       `json:"rules"`
	// ByClass finds rules by pool ("enforced" or "all" policies), kind or feature,
	// and action.
	ByClass map[string]map[string]map[string][]int `json:"byClass"`
	Tables  tables                                 `json:"tables"`
}

type policy struct {
	Name string `json:"name"`
	Mode string `json:"mode"`
	Rego bool   `json:"rego,omitempty"` // has a module of its own
}

type predicates struct {
	Policy string `json:"policy"`
	Mode   string `json:"mode"`
	Allow  string `json:"allow"` // Allow, Flag, EqualityOnly, Deny
	// Probes bound the distinct comparisons; nil: not at all.
	Probes *probes `json:"probes,omitempty"`
}

// probes are numbers of distinct probes; a bound that is not set is left out.
type probes struct {
	PerSession int64 `json:"perSession,omitempty"`
	PerHour    int64 `json:"perHour,omitempty"`
}

func compileDocument(ds *v1alpha1.DataSource, selected []*v1alpha1.AccessPolicy) (*document, error) {
	d := &document{
		DataSource: ds.Namespace + "/" + ds.Name,
		Policies:   []policy{}, Predicates: []predicates{}, Rules: []rule{},
		ByClass: map[string]map[string]map[string][]int{}, Tables: newTables(),
	}
	var enforced []*v1alpha1.AccessPolicy
	for _, p := range selected {
		name, mode := fullName(p), modeOf(p)
		if mode == v1alpha1.ModeEnforce {
			d.Enforcing = true
			enforced = append(enforced, p)
		} else {
			d.Observing = true
		}
		d.Policies = append(d.Policies, policy{Name: name, Mode: string(mode), Rego: p.Spec.Rego != ""})
		bounds, err := compileProbes(p.Spec.Probes)
		if err != nil {
			return nil, fmt.Errorf("AccessPolicy %s: spec.%w", name, err)
		}
		d.Predicates = append(d.Predicates, predicates{Policy: name, Mode: string(mode), Allow: predicateMode(p), Probes: bounds})
		for i := range p.Spec.Rules {
			r, err := compileRule(name, string(mode), &p.Spec.Rules[i])
			if err == nil {
				err = d.add(r)
			}
			if err != nil {
				return nil, fmt.Errorf("AccessPolicy %s: spec.rules[%d].%w", name, i, err)
			}
		}
	}
	if err := d.Tables.complete(); err != nil {
		return nil, err
	}
	// Policies that are only observed change nothing beside policies that are
	// enforced, least of all what is masked.
	if !d.Enforcing {
		enforced = selected
	}
	var err error
	if d.Masks, err = compileMasks(enforced); err != nil {
		return nil, err
	}
	return d, nil
}

// add puts r into the list and the indexes.
func (d *document) add(r rule) error {
	id := len(d.Rules)
	d.Rules = append(d.Rules, r)
	for _, class := range slices.Concat(r.Kinds, r.Features) {
		d.index(poolAll, class, r.Action, id)
		if r.Mode == string(v1alpha1.ModeEnforce) {
			d.index(poolEnforced, class, r.Action, id)
		}
	}
	return d.Tables.add(r.Tables, id)
}

// Pools of policies.
const (
	poolEnforced = "enforced"
	poolAll      = "all"
)

func (d *document) index(pool, class, action string, id int) {
	if d.ByClass[pool] == nil {
		d.ByClass[pool] = map[string]map[string][]int{}
	}
	if d.ByClass[pool][class] == nil {
		d.ByClass[pool][class] = map[string][]int{}
	}
	d.ByClass[pool][class][action] = append(d.ByClass[pool][class][action], id)
}

// modeOf is Enforce for everything that is not Observe.
func modeOf(p *v1alpha1.AccessPolicy) v1alpha1.PolicyMode {
	if p.Spec.Mode == v1alpha1.ModeObserve {
		return v1alpha1.ModeObserve
	}
	return v1alpha1.ModeEnforce
}

// predicateMode is Deny for everything that is not one of the milder three.
func predicateMode(p *v1alpha1.AccessPolicy) string {
	switch m := p.Spec.Predicates; m {
	case v1alpha1.PredicatesAllow, v1alpha1.PredicatesFlag, v1alpha1.PredicatesEqualityOnly:
		return string(m)
	default:
		return string(v1alpha1.PredicatesDeny)
	}
}

// compileProbes refuses a bound that would read as none.
func compileProbes(p *v1alpha1.Probes) (*probes, error) {
	if p == nil {
		return nil, nil
	}
	out := &probes{}
	for name, b := range map[string]struct{ from, to *int64 }{
		"perSession": {p.PerSession, &out.PerSession}, "perHour": {p.PerHour, &out.PerHour},
	} {
		if b.from == nil {
			continue
		}
		if *b.to = *b.from; *b.to < 1 {
			return nil, fmt.Errorf("probes.%s: must be at least 1", name)
		}
	}
	if *out == (probes{}) {
		return nil, fmt.Errorf("probes: bounds nothing")
	}
	return out, nil
}
