"""`make demo`: from an empty namespace to a migrated database, step by step."""
