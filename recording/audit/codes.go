package audit

// Code names a kind of finding.
type Code string

// Of the log.
const (
	LogMissing    Code = "LogMissing"    // the checkpoint or entries are not there
	LogSignature  Code = "LogSignature"  // a checkpoint is not signed by the log's key
	LogRoot       Code = "LogRoot"       // the entries do not give the checkpoint's root
	LogTile       Code = "LogTile"       // a tile of hashes is not that of the entries
	LogEntry      Code = "LogEntry"      // an entry cannot be read as a leaf
	LogForked     Code = "LogForked"     // another checkpoint is of another history
	LogRolledBack Code = "LogRolledBack" // another checkpoint is of a longer log
	LogTime       Code = "LogTime"       // the time of leaves goes back
	LogDuplicate  Code = "LogDuplicate"  // two leaves have one ID and are not the same
	LogStale      Code = "LogStale"      // nothing was logged for long, and sidecars should live
)

// Of a sidecar's key.
const (
	KeyNotAttested  Code = "KeyNotAttested"  // the operator's word for the key is missing
	AttestedLater   Code = "AttestedLater"   // a segment is from before the operator attested its key
	BadAttestation  Code = "BadAttestation"  // it is not signed by the operator
	WrongPod        Code = "WrongPod"        // the key is of another pod than the place
	AfterEnd        Code = "AfterEnd"        // a key was used after its end
	LateSealed      Code = "LateSealed"      // a segment arrived after its key was replaced
	SerialGap       Code = "SerialGap"       // segments are missing among those that are there
	SerialReused    Code = "SerialReused"    // a key has two segments of one serial
	Lost            Code = "Lost"            // segments never arrived
	Unshipped       Code = "Unshipped"       // segments have not arrived yet
	SumMismatch     Code = "SumMismatch"     // a heartbeat counts other segments than those that are there
	BadHeartbeat    Code = "BadHeartbeat"    // it is not signed by its key
	HeartbeatReused Code = "HeartbeatReused" // two heartbeats have one number
	HeartbeatGap    Code = "HeartbeatGap"    // numbers of heartbeats are missing
	Silent          Code = "Silent"          // no heartbeat came for long
	NotRecording    Code = "NotRecording"    // the sidecar said that it does not record everything
	Clock           Code = "Clock"           // the sidecar's clock was not the operator's
)

// Of a session.
const (
	SegmentMissing  Code = "SegmentMissing"  // a segment was never logged
	SegmentReused   Code = "SegmentReused"   // two segments have one number
	RecordGap       Code = "RecordGap"       // records between segments are missing or doubled
	ChainBroken     Code = "ChainBroken"     // a segment does not follow from the one before
	TimeBack        Code = "TimeBack"        // times go back
	KeyChanged      Code = "KeyChanged"      // another key goes on with a session
	RecoveredFalse  Code = "RecoveredFalse"  // what claims to be recovered cannot be
	Recovered       Code = "Recovered"       // a later process sealed the end
	SessionGoesOn   Code = "SessionGoesOn"   // something follows after a session's end
	Unfinished      Code = "Unfinished"      // it has no end, and its sidecar is gone
	RemovedEarly    Code = "RemovedEarly"    // it was removed before it could have been
	EraseUnfinished Code = "EraseUnfinished" // it was erased, and its key is still there
)

// Of a segment.
const (
	ObjectMissing  Code = "ObjectMissing"  // the object is not there
	ObjectChanged  Code = "ObjectChanged"  // its bytes are not those that were logged
	NotInLog       Code = "NotInLog"       // it is stored and not logged
	WrongPlace     Code = "WrongPlace"     // its name is not that of what is in it
	SegmentBroken  Code = "SegmentBroken"  // it is not shaped as a segment
	BadSignature   Code = "BadSignature"   // its head is not signed by its key
	HeadWrong      Code = "HeadWrong"      // what its head says cannot be
	BodyChanged    Code = "BodyChanged"    // the content is not the one that was sealed
	RecordChanged  Code = "RecordChanged"  // a record is not as it was written
	EndMarkWrong   Code = "EndMarkWrong"   // the end mark is not where it should be or counts wrong
	KeyMissing     Code = "KeyMissing"     // the session's key is gone, and nobody erased it
	ContentUnread  Code = "ContentUnread"  // there is no key at hand to look into it
	IndexWrong     Code = "IndexWrong"     // the index says something else
	StrangeObject  Code = "StrangeObject"  // an object that does not belong into the store
	Torn           Code = "Torn"           // a file ends within a segment or record
	Unsigned       Code = "Unsigned"       // a file of version 1
	NothingMatched Code = "NothingMatched" // nothing was found of what was asked for
)

type rule struct {
	severity Severity
	cause    string
}

// rules say how bad a finding is, unless it says so itself, and what is the likely cause.
var rules = map[Code]rule{
	LogMissing:    {Tampered, "objects of the log were deleted from the store"},
	LogSignature:  {Tampered, "the checkpoint was changed or made by somebody else; or the key given is of another log"},
	LogRoot:       {Tampered, "entries were changed, removed or added in the store"},
	LogTile:       {Tampered, "tiles were changed in the store; the entries themselves are judged apart"},
	LogEntry:      {Tampered, "entries were changed in the store, or somebody else wrote into the log"},
	LogForked:     {Tampered, "whoever holds the log's key shows different histories to different people"},
	LogRolledBack: {Tampered, "an old state of the log was put back, so that what came later is hidden; or the operator stopped in the midst of publishing, then it is gone once it runs again"},
	LogTime:       {Tampered, "the operator's clock was turned, or leaves were put into the log by somebody else"},
	LogDuplicate:  {Tampered, "a pending leaf was changed before the leader took it"},
	LogStale:      {Incomplete, "the operator is not running or cannot write to the store; or this is a copy of an older state"},

	KeyNotAttested:  {Tampered, "somebody without the operator's attestation sealed it"},
	AttestedLater:   {Note, "the operator began to keep recordings when the sidecar was already recording; its times before that are the sidecar's word alone"},
	BadAttestation:  {Tampered, "the attestation was forged; or the operator's key given is of another installation"},
	WrongPod:        {Tampered, "it was moved from one pod's folder into another's"},
	AfterEnd:        {Tampered, "somebody uses the key of a sidecar that is gone"},
	LateSealed:      {Note, "a sidecar that restarted shipped what the process before it had sealed; whoever could read that process's memory could have made it too"},
	SerialGap:       {Tampered, "segments, perhaps a whole session, were taken away between the sidecar and the log"},
	SerialReused:    {Tampered, "the sidecar's process was copied, or its key is in other hands"},
	Lost:            {Incomplete, "the sidecar's disk was lost before it could ship them, or somebody kept them from being shipped"},
	Unshipped:       {Note, "they are still in the sidecar's spool"},
	SumMismatch:     {Tampered, "a segment was exchanged for another between the sidecar and the log"},
	BadHeartbeat:    {Tampered, "the heartbeat was forged or changed"},
	HeartbeatReused: {Tampered, "the sidecar's process was copied, or its key is in other hands"},
	HeartbeatGap:    {Incomplete, "the sidecar could not reach the operator, or heartbeats were held back"},
	Silent:          {Incomplete, "the sidecar was stopped or cut off from the operator"},
	NotRecording:    {Incomplete, "onRecorderLoss is Serve, and the recorder had failed"},
	Clock:           {Tampered, "the clock of the sidecar's node was turned"},

	SegmentMissing:  {Tampered, "segments were taken away between the sidecar and the log"},
	SegmentReused:   {Tampered, "somebody replaced a segment, or two processes write one session"},
	RecordGap:       {Tampered, "records were removed or added between two segments"},
	ChainBroken:     {Tampered, "one of the two segments was replaced"},
	TimeBack:        {Tampered, "the records were not written in this order"},
	KeyChanged:      {Tampered, "somebody else than the sidecar that began the session goes on with it"},
	RecoveredFalse:  {Tampered, "somebody passes a made-up end for what a crash left"},
	Recovered:       {Note, "the sidecar had been killed or had crashed; whoever could kill it could have written that end"},
	SessionGoesOn:   {Tampered, "somebody added to a session that was over"},
	Unfinished:      {Incomplete, "the sidecar was killed and its disk was lost, or the end was held back"},
	RemovedEarly:    {Tampered, "somebody removed a session and calls it retention"},
	EraseUnfinished: {Incomplete, "deleting the key failed; erase the session again"},

	ObjectMissing:  {Tampered, "somebody deleted it from the store"},
	ObjectChanged:  {Tampered, "somebody wrote to the store"},
	NotInLog:       {Tampered, "somebody added it to the store; or its leaf was taken away before it was logged"},
	WrongPlace:     {Tampered, "somebody moved it in the store"},
	SegmentBroken:  {Tampered, "somebody wrote to it, or the disk is bad"},
	BadSignature:   {Tampered, "somebody without the sidecar's key made or changed it"},
	HeadWrong:      {Tampered, "whoever sealed it was no sidecar of ours"},
	BodyChanged:    {Tampered, "the content was replaced"},
	RecordChanged:  {Tampered, "whoever sealed it was no sidecar of ours"},
	EndMarkWrong:   {Tampered, "the end mark was cut off or added"},
	KeyMissing:     {Tampered, "somebody deleted the session's key without erasing the session"},
	ContentUnread:  {Note, "nobody who verifies has the session's key; signatures, chain and digests were checked"},
	IndexWrong:     {Note, "the index is made anew from recordings; nothing is concluded from it"},
	StrangeObject:  {Note, "somebody put it there by hand"},
	Torn:           {Incomplete, "the file was not copied whole, or is still being written"},
	Unsigned:       {Incomplete, "it was recorded without an operator, or by an older version"},
	NothingMatched: {Incomplete, "the name, the namespace or the time is another"},
}

// Severity is how bad a code is where the finding says nothing else.
func (c Code) Severity() Severity {
	if r, ok := rules[c]; ok {
		return r.severity
	}
	return Tampered
}
