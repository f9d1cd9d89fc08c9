"""Who is asking, and may they: authentication, and RBAC as Kubernetes defines it.

It knows the store, in which the roles and bindings live, and nothing of HTTP.
"""

from __future__ import annotations

from sspcloud_magics.sandbox.auth.authenticator import Authenticator, Unauthenticated
from sspcloud_magics.sandbox.auth.bootstrap import install_bootstrap_policy
from sspcloud_magics.sandbox.auth.rbac import Attributes, Decision, allowed
from sspcloud_magics.sandbox.auth.users import ANONYMOUS, User, service_account

__all__ = [
    "ANONYMOUS",
    "Attributes",
    "Authenticator",
    "Decision",
    "Unauthenticated",
    "User",
    "allowed",
    "install_bootstrap_policy",
    "service_account",
]
