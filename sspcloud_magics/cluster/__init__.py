"""Who am I, what runs, what may I do: everything that is asked of the API server.

`cluster` finds the cluster and keeps its credentials fresh; `client` asks; `inventory`, `resolve` and
`permissions` are the questions; `api_errors` puts refusals into words; `tables` shows the answers.
"""
