"""The doctor: checks the route to a target step by step, and says what is fine, what is broken, and how to fix it.

`runner` runs the checks of `cluster_checks` (configuration, server, credentials), `permission_checks`,
`target_checks` (target, tunnel, database) and `known_issues`. Each check yields
`findings`; a `report` shows them, and can be redacted.
"""
