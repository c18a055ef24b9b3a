# CLUSTER=existing: a cluster that is there already, by KUBECONFIG.
