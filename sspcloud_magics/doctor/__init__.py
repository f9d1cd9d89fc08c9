"""The doctor: walks the way that a byte would go, and says what is fine, what is broken, and what mends it.

`walk` goes the way, step by step, each in a room of its own: `reaching` (configuration, server, credentials), `rights`,
`arriving` (target, tunnel, database), and `traps`, which people are known to step into. Each step gives
`findings`; a `report` shows them, and can be stripped of all that is personal.
"""
