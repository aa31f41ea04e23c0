package main

import (
	"encoding/json"
	"testing"
)

func answer(text string) step { return step{Name: "s", Answer: json.RawMessage(text)} }

func TestAnswersAreJudgedByWhatThePolicyShows(t *testing.T) {
	for _, c := range []struct {
		direct, through step
		want            verdict
	}{
		{answer(`[1, "x"]`), answer(`[1, "x"]`), same},
		{answer(`[1, "x"]`), answer(`[2, "x"]`), different},
		{answer(`["user1@canary.example"]`), answer(`["*****"]`), masked},
		{answer(`["user1@canary.example"]`), answer(`["user1@canary.example"]`), different},
		{answer(`["user1@canary.example"]`), answer(`[""]`), different},
		{answer(`["4111111100000042"]`), answer(`["***0042"]`), masked},
		{answer(`["4111111100000042"]`), answer(`["*****"]`), different},
		{answer(`[7770001.25]`), answer(`[0]`), masked},
		{answer(`["a 901-45-6001"]`), answer(`["a *****"]`), masked},
		{answer(`["Customer 1"]`), answer(`["*****"]`), different},
		{step{Answer: json.RawMessage(`8`), Masked: json.RawMessage(`0`)}, answer(`0`), masked},
		{step{Answer: json.RawMessage(`8`), Masked: json.RawMessage(`0`)}, answer(`8`), different},
		{answer(`1`), step{Error: "E 42501: denied"}, refused},
		{step{Answer: json.RawMessage(`1`), Refused: "why"}, step{Error: "E 42501: denied"}, byDesign},
		{step{Answer: json.RawMessage(`1`), Refused: "why"}, answer(`1`), different},
		{step{Error: "E 22012: zero"}, step{Error: "E 22012: zero"}, same},
		{step{Error: "E 22012: zero"}, step{Error: "E 42501: zero"}, different},
		{step{Error: "E 22P02: 901"}, step{Error: "E 22P02: the message is withheld"}, masked},
		{step{Error: "E 22012: zero"}, answer(`1`), different},
	} {
		if got, why := judge(c.direct, c.through); got != c.want {
			t.Errorf("%s %s, %s %s: %s (%s), want %s", c.direct.Answer, c.direct.Error, c.through.Answer, c.through.Error, got, why, c.want)
		}
	}
}

func TestALeakIsFoundInEveryForm(t *testing.T) {
	for text, leaks := range map[string]bool{
		"user1@canary.example": true, "elpmaxe.yranac@1resu": true, "904-45-6004": true, "4111111100000001": true, "7770001.25": true,
		"63616e617279": true, "\x03\x09\x00\x01\x09\xc4": true, "***0001": false, "Spanish (Canary Islands)": false, "*****": false,
	} {
		if got := len(leaksIn([][]byte{[]byte(text)})) > 0; got != leaks {
			t.Errorf("%q: %v, want %v", text, got, leaks)
		}
	}
}

func TestASessionThatEndsEarlyIsDifferent(t *testing.T) {
	if all := compare([]step{answer(`1`)}, nil); len(all) != 1 || all[0].verdict != different {
		t.Errorf("%v", all)
	}
	if (outcome{}).good() {
		t.Error("a framework without steps is good")
	}
}
