"""The operator: events in, facts in a cache, keys in a queue; gather, decide, execute."""
