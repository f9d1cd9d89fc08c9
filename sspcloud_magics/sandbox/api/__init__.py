"""The Kubernetes API server of the sandbox: HTTP in front, the store and the node behind."""
