"""Decisions: pure functions of a snapshot and a time, each branch with its reason and its message."""
