# Only through the protocol we know.
package tidewaiter.custom["data/a-office-hours"]

deny contains msg if {
  not _known
  msg := sprintf("protocol %s is not for reports", [input.operation.protocol])
}

_known if input.operation.protocol == "postgres"
