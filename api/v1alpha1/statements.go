package v1alpha1

// StatementClass is what a rule's `statements` lists: a kind, which every statement has, or a feature, which a statement
// may have on top. `*` stands for the ordinary kinds only; a dangerous feature is denied unless a rule names it, and so
// is a kind that changes structure or permissions in bulk (DDL, Truncate, Grant).
//
// +kubebuilder:validation:Enum="*";Select;Insert;Update;Delete;Merge;CopyIn;CopyOut;Transaction;Session;Explain;Maintenance;DDL;Truncate;Grant;BulkSelect;UnboundedUpdate;UnboundedDelete;Program;File;LargeObject;DynamicSQL;ForeignData;Replication;FunctionCall;UnknownFunction;Identity;ParserSetting;Procedural;Extension;Notify;Laundering;Inference;SecretCatalog;Lock;ServerControl;SideEffect;UnsafeSetting
type StatementClass string

// AnyOrdinaryKind stands for every ordinary kind (see OrdinaryKinds) and no feature.
const AnyOrdinaryKind StatementClass = "*"

// Kinds of statements. Every statement has at least one; a statement with data-modifying CTEs has several.
const (
	// KindSelect reads: SELECT, VALUES, TABLE.
	KindSelect StatementClass = "Select"
	// KindInsert is INSERT, with or without ON CONFLICT.
	KindInsert StatementClass = "Insert"
	// KindUpdate is UPDATE.
	KindUpdate StatementClass = "Update"
	// KindDelete is DELETE.
	KindDelete StatementClass = "Delete"
	// KindMerge is MERGE.
	KindMerge StatementClass = "Merge"
	// KindCopyIn is COPY … FROM STDIN.
	KindCopyIn StatementClass = "CopyIn"
	// KindCopyOut is COPY … TO STDOUT.
	KindCopyOut StatementClass = "CopyOut"
	// KindTransaction is BEGIN, COMMIT, ROLLBACK, SAVEPOINT and their kin.
	KindTransaction StatementClass = "Transaction"
	// KindSession is state of the session: SET, SHOW, RESET, DISCARD, PREPARE, DEALLOCATE, LISTEN, cursors.
	KindSession StatementClass = "Session"
	// KindExplain is EXPLAIN; the statement explained is decided as well.
	KindExplain StatementClass = "Explain"
	// KindMaintenance is ANALYZE, VACUUM, REINDEX, CLUSTER, REFRESH MATERIALIZED VIEW.
	KindMaintenance StatementClass = "Maintenance"
	// KindDDL creates, alters or drops an object. Not ordinary: `*` does not include it.
	KindDDL StatementClass = "DDL"
	// KindTruncate is TRUNCATE. Not ordinary: `*` does not include it.
	KindTruncate StatementClass = "Truncate"
	// KindGrant changes permissions: GRANT, REVOKE, ALTER DEFAULT PRIVILEGES, REASSIGN OWNED. Not ordinary.
	KindGrant StatementClass = "Grant"
)

// Features of quantity. A rule that names one narrows what other rules allow; none of them is dangerous by nature.
const (
	// FeatureBulkSelect is a read of a table without WHERE and without LIMIT.
	FeatureBulkSelect StatementClass = "BulkSelect"
	// FeatureUnboundedUpdate is an UPDATE without WHERE.
	FeatureUnboundedUpdate StatementClass = "UnboundedUpdate"
	// FeatureUnboundedDelete is a DELETE without WHERE.
	FeatureUnboundedDelete StatementClass = "UnboundedDelete"
)

// Dangerous features: denied unless a rule names them.
const (
	// FeatureProgram runs a program on the server: COPY … PROGRAM.
	FeatureProgram StatementClass = "Program"
	// FeatureFile reads or writes files of the server: COPY … 'file', pg_read_file, lo_import and their kin.
	FeatureFile StatementClass = "File"
	// FeatureLargeObject reads or writes large objects, which carry no tags.
	FeatureLargeObject StatementClass = "LargeObject"
	// FeatureDynamicSQL runs text as SQL where it cannot be seen: query_to_xml, dblink, EXECUTE within functions.
	FeatureDynamicSQL StatementClass = "DynamicSQL"
	// FeatureForeignData reaches other servers: foreign tables, servers, user mappings, subscriptions.
	FeatureForeignData StatementClass = "ForeignData"
	// FeatureReplication is the replication protocol, slots, publications and logical decoding.
	FeatureReplication StatementClass = "Replication"
	// FeatureFunctionCall is the protocol's own FunctionCall message, which bypasses SQL.
	FeatureFunctionCall StatementClass = "FunctionCall"
	// FeatureUnknownFunction calls a function whose body cannot be analyzed and that the owner does not vouch for.
	FeatureUnknownFunction StatementClass = "UnknownFunction"
	// FeatureIdentity changes who the session is: SET ROLE, SET SESSION AUTHORIZATION, ALTER ROLE.
	FeatureIdentity StatementClass = "Identity"
	// FeatureParserSetting changes how text is read: standard_conforming_strings, client_encoding, backslash_quote.
	FeatureParserSetting StatementClass = "ParserSetting"
	// FeatureProcedural is code or objects that run it: DO, CREATE FUNCTION, PROCEDURE, TRIGGER, RULE, AGGREGATE,
	// OPERATOR, CAST, TYPE and untrusted languages.
	FeatureProcedural StatementClass = "Procedural"
	// FeatureExtension loads code into the server: CREATE EXTENSION, LOAD.
	FeatureExtension StatementClass = "Extension"
	// FeatureNotify sends a notification: NOTIFY, pg_notify.
	FeatureNotify StatementClass = "Notify"
	// FeatureLaundering could write a tagged value to a place without a tag, from where it would be read unmasked.
	FeatureLaundering StatementClass = "Laundering"
	// FeatureInference lets a protected value steer how much is returned, how long it takes or whether it fails: in LIMIT,
	// TABLESAMPLE, a divisor, generate_series or beside pg_sleep; or picks it apart in a condition: left(ssn, 3) = '100'.
	FeatureInference StatementClass = "Inference"
	// FeatureSecretCatalog reads catalogs that hold secrets or values: pg_authid, pg_shadow, pg_statistic, pg_stats,
	// pg_user_mappings, pg_subscription, and the query texts of others.
	FeatureSecretCatalog StatementClass = "SecretCatalog"
	// FeatureLock takes a lock by name: LOCK TABLE stronger than ACCESS SHARE. Advisory locks are free, unless computed from
	// protected values, which is Laundering.
	FeatureLock StatementClass = "Lock"
	// FeatureServerControl acts on the server or on others' sessions: pg_terminate_backend, pg_reload_conf, ALTER
	// SYSTEM, CHECKPOINT.
	FeatureServerControl StatementClass = "ServerControl"
	// FeatureSideEffect calls a function that writes. nextval is not counted, and setval of a sequence named in the text is an
	// Update of it.
	FeatureSideEffect StatementClass = "SideEffect"
	// FeatureUnsafeSetting sets a setting that is not known to be harmless.
	FeatureUnsafeSetting StatementClass = "UnsafeSetting"
)

// OrdinaryKinds returns what `*` stands for, in the order of the documentation. The caller owns the slice.
func OrdinaryKinds() []StatementClass {
	return []StatementClass{
		KindSelect, KindInsert, KindUpdate, KindDelete, KindMerge, KindCopyIn, KindCopyOut,
		KindTransaction, KindSession, KindExplain, KindMaintenance,
	}
}

// NamedKinds returns the kinds that only a rule naming them covers. The caller owns the slice.
func NamedKinds() []StatementClass {
	return []StatementClass{KindDDL, KindTruncate, KindGrant}
}

// QuantityFeatures returns the features that narrow but are not dangerous by nature. The caller owns the slice.
func QuantityFeatures() []StatementClass {
	return []StatementClass{FeatureBulkSelect, FeatureUnboundedUpdate, FeatureUnboundedDelete}
}

// DangerousFeatures returns the features that are denied unless a rule names them. The caller owns the slice.
func DangerousFeatures() []StatementClass {
	return []StatementClass{
		FeatureProgram, FeatureFile, FeatureLargeObject, FeatureDynamicSQL, FeatureForeignData, FeatureReplication,
		FeatureFunctionCall, FeatureUnknownFunction, FeatureIdentity, FeatureParserSetting, FeatureProcedural,
		FeatureExtension, FeatureNotify, FeatureLaundering, FeatureInference, FeatureSecretCatalog, FeatureLock, FeatureServerControl,
		FeatureSideEffect, FeatureUnsafeSetting,
	}
}
