"""Who am I, what runs, what may I do: everything that is asked of the API server.

`identity` finds the cluster and keeps its credentials fresh; `client` asks; `inventory`, `resolve` and
`permissions` are the questions; `failures` puts refusals into words; `tables` shows the answers.
"""
