"""Access to the cluster: configuration and credentials, requests to the API server, and what runs there.

`cluster` finds the cluster and keeps its credentials fresh; `client` sends the requests, which `inventory`, `resolve` and
`permissions` make; `api_errors` turns refusals into errors; `tables` displays results.
"""
