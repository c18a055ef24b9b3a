"""The ledger of databases without schemas: one set of tables, prefixed `lockstep_`, whatever the dialect."""
