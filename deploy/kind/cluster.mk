# CLUSTER=kind: for machines with Docker and kind.
