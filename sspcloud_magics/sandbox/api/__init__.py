"""The API server of the sandbox: HTTP requests on the store and the node."""
