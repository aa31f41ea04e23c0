package v1alpha1

import "testing"

func TestOnlyAllowedNamespacesMayAttach(t *testing.T) {
	shop := map[string]string{"team": "shop"}
	for _, tc := range []struct {
		name      string
		allowed   AllowedNamespaces
		namespace string
		want      bool
		fails     bool
	}{
		{"left out: its own", AllowedNamespaces{}, "data", true, false},
		{"left out: no other", AllowedNamespaces{}, "shop", false, false},
		{"left out: none at all", AllowedNamespaces{}, "", false, false},
		{"Same", AllowedNamespaces{From: NamespacesSame}, "data", true, false},
		{"a word of the future", AllowedNamespaces{From: "All"}, "data", false, true},
		{"selected", AllowedNamespaces{Selector: &LabelSelector{MatchLabels: map[string]LabelValue{"team": "shop"}}}, "shop", true, false},
		{"not selected", AllowedNamespaces{Selector: &LabelSelector{MatchLabels: map[string]LabelValue{"team": "x"}}}, "data", false, false},
		{"all", AllowedNamespaces{Selector: &LabelSelector{}}, "shop", true, false},
		{"both", AllowedNamespaces{From: NamespacesSame, Selector: &LabelSelector{}}, "data", false, true},
		{"unreadable", AllowedNamespaces{Selector: &LabelSelector{MatchLabels: map[string]LabelValue{"a b": "c"}}}, "shop", false, true},
	} {
		got, err := tc.allowed.Allows("data", tc.namespace, shop)
		if got != tc.want || (err != nil) != tc.fails {
			t.Errorf("%s: %v, %v", tc.name, got, err)
		}
	}
}
