"""Who is asking, and may they: authentication, and RBAC as Kubernetes defines it.

It knows the store, in which the roles and bindings live, and nothing of HTTP.
"""
