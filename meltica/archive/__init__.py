"""The audit trail's archive: sealed files beside the database, and reading over both."""
