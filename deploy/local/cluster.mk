# CLUSTER=local: Kubernetes from its Go modules on this machine. Needs Linux and root; see docs/local-cluster.md.
LOCAL_CLUSTER := PYTHONPATH=deploy/local $(BIN)/python -m localcluster

cluster: venv ## start the cluster (CLUSTER=local|kind|existing); kubeconfig at .local/kubeconfig
	@$(LOCAL_CLUSTER) up

cluster-down: venv ## end the cluster and leave nothing behind
	@$(LOCAL_CLUSTER) down

image: venv ## build the image and load it into the cluster
	@$(LOCAL_CLUSTER) image
