"""Open a database to a colleague: rights that are narrow, end by themselves, and can be taken back.

A share is one Job in the owner's namespace. It runs nothing; its deadline is the share's end, and it owns
the Secret, Role and RoleBinding (and NetworkPolicy) of one colleague, so that all of them go with it: at the
deadline with nothing of ours running, or earlier when it is deleted. No file of ours is the truth.
"""
