# CLUSTER=kind: Kubernetes in Docker, by kind; both must be installed. See deploy/kind/README.md.
KIND_NAME := lockstep
IMAGE_TAG = $(shell PYTHONPATH=deploy/local $(BIN)/python -m localcluster image-tag)

cluster: venv ## start the cluster (CLUSTER=local|kind|existing); kubeconfig at .local/kubeconfig
	@mkdir -p .local
	@kind get clusters 2>/dev/null | grep -qx $(KIND_NAME) || kind create cluster --config deploy/kind/kind.yaml --wait 120s
	@kind get kubeconfig --name $(KIND_NAME) > .local/kubeconfig && chmod 600 .local/kubeconfig
	@PYTHONPATH=deploy/local $(BIN)/python -m localcluster tools

cluster-down: ## end the cluster and leave nothing behind
	@kind delete cluster --name $(KIND_NAME)
	@rm -f .local/kubeconfig

image: venv ## build the image and load it into the cluster
	@docker build --tag lockstep:$(IMAGE_TAG) --tag lockstep:dev .
	@kind load docker-image --name $(KIND_NAME) lockstep:$(IMAGE_TAG) lockstep:dev
	@mkdir -p .local && echo $(IMAGE_TAG) > .local/image-tag
