"""Real servers for tests, each a plain process on a free port of this machine."""
