# CLUSTER=existing: a cluster that is there already, named by KUBECONFIG. Never the default. See docs/local-cluster.md.
IMAGE_REPOSITORY ?=
IMAGE_TAG = $(shell PYTHONPATH=deploy/local $(BIN)/python -m localcluster image-tag)

cluster: venv ## check that the cluster of KUBECONFIG answers; kubeconfig at .local/kubeconfig
	@test -n "$(KUBECONFIG)" || { echo "error: CLUSTER=existing takes the cluster from KUBECONFIG, which is not set"; exit 1; }
	@PYTHONPATH=deploy/local $(BIN)/python -m localcluster tools
	@.local/bin/kubectl get --raw /readyz >/dev/null || { echo "error: the cluster of $(KUBECONFIG) does not answer"; exit 1; }
	@.local/bin/kubectl config view --flatten --minify > .local/kubeconfig.new && chmod 600 .local/kubeconfig.new \
		&& mv .local/kubeconfig.new .local/kubeconfig
	@echo "==> Using $$(.local/bin/kubectl config current-context), as it is"

cluster-down: ## forget the cluster; it is left as it is
	@rm -f .local/kubeconfig

image: venv ## build the image with Docker and push it to IMAGE_REPOSITORY
	@test -n "$(IMAGE_REPOSITORY)" || { echo "error: set IMAGE_REPOSITORY to where that cluster pulls from"; exit 1; }
	@docker build --tag $(IMAGE_REPOSITORY):$(IMAGE_TAG) .
	@docker push $(IMAGE_REPOSITORY):$(IMAGE_TAG)
	@mkdir -p .local && echo $(IMAGE_TAG) > .local/image-tag
