"""PostgreSQL 14 and newer, and its promise: each migration is applied exactly once.

The change, the fence that proves that the run still holds the line, and the record of it are one transaction.
"""
