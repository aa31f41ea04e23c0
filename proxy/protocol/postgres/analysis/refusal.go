package analysis

// Refusal says why a text was not analyzed. Its texts are meant for the client
// and hold nothing but what the client itself sent.
type Refusal struct {
	// Code is a SQLSTATE: 42601 syntax error, 54001 too complex, 54000 too large,
	// 22021 not valid UTF-8.
	Code    string
	Message string
	Detail  string
	Hint    string
	// Position counts characters from 1 into the text; 0 = none.
	Position int
}

// Error returns the message.
func (r *Refusal) Error() string { return r.Message }
