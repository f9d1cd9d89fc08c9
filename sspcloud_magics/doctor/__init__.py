"""The doctor: walks the way that a byte would go, and says what is fine, what is broken, and what repairs it.

`runner` goes the way, step by step, each in a module of its own: `cluster_checks` (configuration, server, credentials), `permission_checks`,
`target_checks` (target, tunnel, database), and `known_issues`. Each step gives
`findings`; a `report` shows them, and can be stripped of all that is personal.
"""
