"""A Kubernetes cluster of one's own, made of the real parts, without a container registry."""
