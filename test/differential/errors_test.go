package differential

import "testing"

func TestOnlyThePlaceInTheServersSourceMayDiffer(t *testing.T) {
	const direct = "SERROR\x00VERROR\x00C26000\x00Mprepared statement \"q\" does not exist\x00Fprepare.c\x00L451\x00RFetchPreparedStatement\x00\x00"
	for name, c := range map[string]struct {
		direct, through string
		same            bool
	}{
		"nothing differs":           {direct, direct, true},
		"no place in the source":    {direct, "SERROR\x00VERROR\x00C26000\x00Mprepared statement \"q\" does not exist\x00\x00", true},
		"a part of the place":       {direct, "SERROR\x00VERROR\x00C26000\x00Mprepared statement \"q\" does not exist\x00L451\x00\x00", false},
		"another message":           {direct, "SERROR\x00VERROR\x00C26000\x00Mprepared statement \"r\" does not exist\x00\x00", false},
		"a hint on top":             {direct, "SERROR\x00VERROR\x00C26000\x00Mprepared statement \"q\" does not exist\x00Htry again\x00\x00", false},
		"another order":             {direct, "SERROR\x00C26000\x00VERROR\x00Mprepared statement \"q\" does not exist\x00\x00", false},
		"a denial instead":          {direct, "SERROR\x00VERROR\x00C42501\x00Mtidewaiter: denied\x00\x00", false},
		"an error of the server's":  {"SERROR\x00VERROR\x00C22012\x00Mdivision by zero\x00Fint.c\x00\x00", "SERROR\x00VERROR\x00C22012\x00Mdivision by zero\x00\x00", false},
		"a relation, without place": {"SERROR\x00C42P01\x00Mno\x00Fx.c\x00\x00", "SERROR\x00C42P01\x00Mno\x00\x00", false},
	} {
		if got := (frame{kind: 'E', body: []byte(c.direct)}).same(frame{kind: 'E', body: []byte(c.through)}); got != c.same {
			t.Errorf("%s: same is %v", name, got)
		}
	}
	if (frame{kind: 'N', body: []byte(direct)}).same(frame{kind: 'N', body: []byte("SERROR\x00VERROR\x00C26000\x00\x00")}) {
		t.Error("a notice without a place counts as the same")
	}
}
