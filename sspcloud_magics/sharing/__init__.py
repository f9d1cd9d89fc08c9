"""Share a database with a colleague: narrow privileges that expire automatically and can be revoked.

A share is one Job in the owner's namespace. The Job runs nothing: its deadline is the share's expiry, and it owns
the Secret, Role and RoleBinding (and NetworkPolicy) of one colleague. The garbage collector deletes them with the Job,
at the deadline or earlier, without any process of this package. The cluster is the only source of truth: no file.
"""
