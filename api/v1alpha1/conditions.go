package v1alpha1

// Condition types. Every kind reports those that its doc comment lists; Ready sums up the others.
const (
	// ConditionReady is True when every other condition that the kind needs is True.
	ConditionReady = "Ready"
	// ConditionAccepted says whether the spec could be understood and compiled (both kinds).
	ConditionAccepted = "Accepted"
	// ConditionResolvedRefs says whether every object that the spec refers to exists and is usable (both kinds).
	ConditionResolvedRefs = "ResolvedRefs"
	// ConditionProgrammed says whether the spec is part of the revision that sidecars are given (both kinds).
	ConditionProgrammed = "Programmed"
	// ConditionEnforced says whether every running sidecar concerned has acknowledged that revision (both kinds).
	ConditionEnforced = "Enforced"
	// ConditionReachable says whether the data source answered with the given credential (DataSource).
	ConditionReachable = "Reachable"
	// ConditionGoverned says whether a probe proved that nothing but a sidecar reaches the data (DataSource).
	ConditionGoverned = "Governed"
	// ConditionApproved says that an AccessRequest has the approvals that it needs.
	ConditionApproved = "Approved"
	// ConditionDenied says that an AccessRequest was denied.
	ConditionDenied = "Denied"
	// ConditionExpired says that an AccessRequest got no answer in time.
	ConditionExpired = "Expired"
	// ConditionWithdrawn says that whoever waited for an AccessRequest is gone.
	ConditionWithdrawn = "Withdrawn"
	// ConditionRevoked says that what an AccessRequest had granted was taken back.
	ConditionRevoked = "Revoked"
	// ConditionSlowDrip says that a workload reads classified columns on and on, near the limit of its hour (Session).
	ConditionSlowDrip = "SlowDrip"
	// ConditionBrokenGlass says that one person has answered an AccessRequest alone, in an emergency.
	ConditionBrokenGlass = "BrokenGlass"
)

// Reasons. One name is shared by condition, event, metric label and log line.
const (
	// ReasonSustainedReading goes with SlowDrip=True, and is the reason of the event on the pod.
	ReasonSustainedReading = "SustainedReading"
	// ReasonReady goes with Ready=True.
	ReasonReady = "Ready"
	// ReasonNotReady goes with Ready=False; the message names the condition that is missing.
	ReasonNotReady = "NotReady"
	// ReasonAccepted goes with Accepted=True.
	ReasonAccepted = "Accepted"
	// ReasonInvalid goes with Accepted=False: the spec passed validation but could not be compiled. It goes with
	// Programmed=False of a DataSource as well: one of its AccessPolicies could not.
	ReasonInvalid = "Invalid"
	// ReasonInvalidRego goes with Accepted=False: spec.rego does not compile or reaches for something it may not.
	ReasonInvalidRego = "InvalidRego"
	// ReasonResolved goes with ResolvedRefs=True.
	ReasonResolved = "Resolved"
	// ReasonDataSourceNotFound goes with ResolvedRefs=False of an AccessPolicy.
	ReasonDataSourceNotFound = "DataSourceNotFound"
	// ReasonSecretNotFound goes with ResolvedRefs=False of a DataSource.
	ReasonSecretNotFound = "SecretNotFound"
	// ReasonSecretInvalid goes with ResolvedRefs=False: the Secret exists but lacks a key or holds no usable value.
	ReasonSecretInvalid = "SecretInvalid"
	// ReasonSecretForbidden goes with ResolvedRefs=False: nobody has allowed the operator to read the Secret.
	ReasonSecretForbidden = "SecretForbidden"
	// ReasonProgrammed goes with Programmed=True.
	ReasonProgrammed = "Programmed"
	// ReasonPending goes with Unknown of any condition: something else comes first, which the message names.
	ReasonPending = "Pending"
	// ReasonEnforced goes with Enforced=True.
	ReasonEnforced = "Enforced"
	// ReasonWaitingForSidecars goes with Enforced=False; the message names who has not acknowledged yet.
	ReasonWaitingForSidecars = "WaitingForSidecars"
	// ReasonRejectedBySidecar goes with Enforced=False: a sidecar refused the revision and keeps the one before.
	ReasonRejectedBySidecar = "RejectedBySidecar"
	// ReasonNoSidecars goes with Enforced=True when nobody is concerned.
	ReasonNoSidecars = "NoSidecars"
	// ReasonReachable goes with Reachable=True.
	ReasonReachable = "Reachable"
	// ReasonUnreachable goes with Reachable=False: no connection, or TLS could not be verified.
	ReasonUnreachable = "Unreachable"
	// ReasonAuthenticationFailed goes with Reachable=False: the data source refused the credential.
	ReasonAuthenticationFailed = "AuthenticationFailed"
	// ReasonGoverned goes with Governed=True.
	ReasonGoverned = "Governed"
	// ReasonBypassPossible goes with Governed=False: a probe without a sidecar reached the data source.
	ReasonBypassPossible = "BypassPossible"
	// ReasonNotProbed goes with Governed=Unknown.
	ReasonNotProbed = "NotProbed"
	// ReasonApproved goes with Approved=True; the message says who approved, and their words.
	ReasonApproved = "Approved"
	// ReasonDenied goes with Denied=True; the message says who denied, and their words.
	ReasonDenied = "Denied"
	// ReasonExpired goes with Expired=True: the approvals that were needed did not come in time.
	ReasonExpired = "Expired"
	// ReasonGrantEnded goes with Expired=True: what was granted for a time has ended.
	ReasonGrantEnded = "GrantEnded"
	// ReasonWithdrawn goes with Withdrawn=True: whoever waited is gone.
	ReasonWithdrawn = "Withdrawn"
	// ReasonRuleGone goes with Withdrawn=True: the policy is gone, or its rule does not ask for approval any more.
	ReasonRuleGone = "RuleGone"
	// ReasonRevoked goes with Revoked=True; the message says who took the approval back, and their words.
	ReasonRevoked = "Revoked"
	// ReasonBrokenGlass goes with BrokenGlass=True, and with Approved=True: one person has answered alone.
	ReasonBrokenGlass = "BrokenGlass"
	// ReasonRequested is the reason of the event that says that an AccessRequest waits for people.
	ReasonRequested = "Requested"
	// ReasonInternalError goes with Unknown of any condition: the operator itself failed, and tries again.
	ReasonInternalError = "InternalError"
)
