"""Login with all libpq parameters set explicitly, independent of the environment.

libpq takes missing parameters from ``PG*`` variables, ``~/.pgpass``, service files and the certificates in
``~/.postgresql``. In a notebook on SSPCloud, ``PGHOST`` and ``PGPASSWORD`` belong to some *other* database.
So every parameter that libpq could look up is given here. Variables that have no parameter (``PGTZ``, ``PGSERVICE`` …)
are removed from the environment during the login.

TLS: if the certificate authority is known, the server is verified by the name of its service, not by the address of
the tunnel. Otherwise TLS is used if the server offers it, and the login requires SCRAM, in which the server proves
that it knows the password. The connection then reports that the server is not verified.
"""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
from psycopg import pq

from sspcloud_magics.databases.login import Login, Tls
from sspcloud_magics.private_file import private_file

# Variables that libpq reads and that have no parameter.
_KEYWORDLESS = ("PGSERVICE", "PGSERVICEFILE", "PGSYSCONFDIR", "PGTZ", "PGDATESTYLE", "PGGEQO")
# Held while they are removed: the environment is shared by all threads.
_environment = threading.Lock()

# A path that cannot exist: libpq finds no file there and continues.
_NOWHERE = f"{os.devnull}/none"


def parameters(login: Login, *, tls: Tls, ca_file: Path | None = None) -> dict[str, Any]:
    """Return all parameters of libpq whose default is a variable or a file, and the others that a login needs.

    Parameters
    ----------
    login
        The login. The result contains its password, so never show it.
    tls
        The encryption of the connection.
    ca_file
        The file with the certificate authority, if `tls` is verified.
    """
    wanted: dict[str, str] = {
        "host": login.host,
        "hostaddr": login.address or "",
        "port": str(login.port),
        "user": login.user,
        "password": login.password.reveal(),
        "dbname": login.dbname,
        "passfile": _NOWHERE,
        "connect_timeout": str(max(2, round(login.timeout))),  # libpq treats 1 as 2
        "application_name": "sspcloud-magics",
        "client_encoding": "utf8",
        "options": login.options,
        "keepalives": "1",
        "keepalives_idle": "30",
        "keepalives_interval": "10",
        "keepalives_count": "3",
        "sslmode": {Tls.VERIFIED: "verify-full", Tls.UNVERIFIED: "require", Tls.ABSENT: "disable"}[tls],
        "sslnegotiation": "postgres",
        "sslcompression": "0",
        "sslcert": _NOWHERE,
        "sslkey": _NOWHERE,
        "sslcertmode": "disable",
        # With a file, ``require`` would verify the server too.
        "sslrootcert": str(ca_file) if ca_file else _NOWHERE,
        "sslcrl": _NOWHERE,
        "sslcrldir": "",
        "sslsni": "1",
        "ssl_min_protocol_version": "TLSv1.2",
        "ssl_max_protocol_version": "",
        "min_protocol_version": "3.0",
        "max_protocol_version": "3.0",
        "channel_binding": "prefer",
        # In SCRAM the server proves that it knows the password. An unverified server gets no other method: the password
        # can be guessed from an MD5 response, and a server without authentication may be any server. An empty value
        # would forbid all methods, since libpq parses it as a list.
        "require_auth": "scram-sha-256,md5,password,none" if tls is Tls.VERIFIED else "scram-sha-256",
        "requirepeer": "",
        "gssencmode": "disable",
        "krbsrvname": "postgres",
        "gsslib": "",
        "gssdelegation": "0",
        "target_session_attrs": "any",
        "load_balance_hosts": "disable",
    }
    known = {option.keyword.decode() for option in pq.Conninfo.get_defaults()}
    return {name: value for name, value in wanted.items() if name in known}


@contextlib.contextmanager
def _clear_environment() -> Iterator[None]:
    """Remove the variables that libpq reads and that have no parameter, for the duration of the block."""
    with _environment:
        taken = {name: os.environ.pop(name) for name in _KEYWORDLESS if name in os.environ}
        try:
            yield
        finally:
            os.environ.update(taken)


def log_in(login: Login) -> tuple[psycopg.Connection[Any], Tls]:
    """Log in, and return the connection in autocommit mode with its encryption.

    Raises
    ------
    psycopg.Error
        If the login fails; its text does not contain the password.
    """
    if login.ca is not None:
        return _connect_verified(login, login.ca), Tls.VERIFIED
    try:
        return _connect(login, Tls.UNVERIFIED), Tls.UNVERIFIED
    except psycopg.OperationalError as error:
        if "server does not support SSL" not in str(error):
            raise
    return _connect(login, Tls.ABSENT), Tls.ABSENT


def _connect_verified(login: Login, ca: str) -> psycopg.Connection[Any]:
    """Connect with the certificate authority in a private file, which exists as long as the connection.

    libpq accepts only a file, and reads it again for each connection that cancels a statement.
    """
    file, remove = private_file(ca)
    try:
        connection = _connect(login, Tls.VERIFIED, file)
    except BaseException:
        remove()
        raise
    weakref.finalize(connection, remove)
    return connection


def _connect(login: Login, tls: Tls, ca_file: Path | None = None) -> psycopg.Connection[Any]:
    try:
        with _clear_environment():
            return psycopg.connect("", autocommit=True, **parameters(login, tls=tls, ca_file=ca_file))
    except BaseException as error:  # noqa: BLE001 - reraised, including an interruption
        # The frames below have the password in local variables, which a verbose traceback would show.
        raise error.with_traceback(None) from None
