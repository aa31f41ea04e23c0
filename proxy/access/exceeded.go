package access

// Exceeded is a limit that an operation has reached in the middle of its result: the operation runs, and its result stands
// still until a person has answered. It is about that operation alone, so an approval of it is good for nothing else.
type Exceeded struct {
	// Limit as policies call it: one of the Limit constants.
	Limit string
	// Rows and Bytes of the result that have gone to the client.
	Rows, Bytes int64
}

// Names of limits, as the fields of a policy's rule are called.
const (
	LimitRowsPerStatement  = "rowsPerStatement"
	LimitBytesPerStatement = "bytesPerStatement"
	LimitRowsPerHour       = "rowsPerHour"
	LimitBytesPerHour      = "bytesPerHour"
	// LimitProbesPerHour is perHour of a policy's probes.
	LimitProbesPerHour = "probesPerHour"
)
