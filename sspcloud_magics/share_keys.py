"""Names, labels, annotations and Secret keys of a share's objects: the stored format that all sessions read and write."""

from __future__ import annotations

import hashlib

from sspcloud_magics import platforms

OWNER = "sspcloud-magics"
MANAGED_BY = "app.kubernetes.io/managed-by"

# Labels.
DATABASE = f"{OWNER}/database"
SERVICE = f"{OWNER}/service"  # instead of DATABASE, for the share of a service
COLLEAGUE = f"{OWNER}/colleague"

# Annotations.
UNTIL = f"{OWNER}/until"
ACCESS = f"{OWNER}/access"
SCHEMAS = f"{OWNER}/schemas"
REASON = f"{OWNER}/reason"
ROLE = f"{OWNER}/postgres-role"
CREATE = f"{OWNER}/create"
KIND = f"{OWNER}/kind"
SERVICE_PORT = f"{OWNER}/port"

READ_ONLY, READ_WRITE = "read-only", "read-write"
"""The values of `ACCESS` for a database."""

NETWORK, FORWARD = "network", "forward"
"""The values of `ACCESS` for a service."""

# Keys of the Secret.
HOST, PORT, DBNAME, USER, PASSWORD, CA = "host", "port", "database", "user", "password", "ca.crt"

ROLE_PREFIX = "share_"

# The limit of labels and of PostgreSQL's identifiers, in characters.
_LONGEST_NAME = 63


def share_name(database: str, colleague: str) -> str:
    """Return the name of all objects of a share, which is short enough for a label.

    Examples
    --------
    >>> share_name("postgresql-cnpg-951239", "bob")
    'postgresql-cnpg-951239-share-bob'
    """
    return _fit(f"{database}-share-{colleague}")


def role_name(colleague: str) -> str:
    """Return the name of a colleague's PostgreSQL role: ``share_bob``."""
    return _fit(f"{ROLE_PREFIX}{colleague}")


def colleague_name(namespace: str) -> str:
    """Return the colleague's name for a namespace, ``bob`` for ``user-bob``; it differs for any two namespaces.

    Examples
    --------
    >>> colleague_name("user-bob"), colleague_name("projet-x"), colleague_name("user-projet-x")
    ('bob', 'projet-x', 'user-projet-x')
    """
    platform = platforms.current()
    bare = namespace.removeprefix(platform.users)
    return namespace if platform.is_namespace(bare) else bare


def _fit(name: str) -> str:
    """Shorten a name to at most 63 characters; a shortened name ends in a digest."""
    if len(name) <= _LONGEST_NAME:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:10]
    return f"{name[: _LONGEST_NAME - 11].rstrip('-')}-{digest}"
