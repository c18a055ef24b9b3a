"""The command `lockstep`, for people and for CI: works on files, needs no cluster."""
