"""What several suites share: the cluster's API, waiting, and files of the repository."""
