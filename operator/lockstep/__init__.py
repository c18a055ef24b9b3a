"""Database migrations in lockstep with deployments."""
