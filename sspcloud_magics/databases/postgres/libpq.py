"""A login with every parameter of libpq said explicitly, so that nothing of the machine interferes.

libpq fills what it is not told from ``PG*`` variables, ``~/.pgpass``, service files and the
certificates in ``~/.postgresql``. In a notebook of SSPCloud ``PGHOST`` and ``PGPASSWORD`` belong to
some *other* database. So all that libpq could look up is given here; what has a variable and no
parameter (``PGTZ``, ``PGSERVICE`` …) is taken out of the environment for the moment of the login.

TLS: with the certificate authority at hand the server is verified, by the name of its service and not
by the address of the tunnel's end. Without it, TLS is used wherever the server offers it, the login has to be one by
SCRAM, in which the server proves that it knows the password, and the connection says that the server is not verified.
"""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import psycopg
from psycopg import pq

from sspcloud_magics.private_file import private_file
from sspcloud_magics.secret import Secret

_KEYWORDLESS = ("PGSERVICE", "PGSERVICEFILE", "PGSYSCONFDIR", "PGTZ", "PGDATESTYLE", "PGGEQO")
_environment = threading.Lock()

# A path at which nothing can be: libpq finds no file there and goes on.
_NOWHERE = f"{os.devnull}/none"


class Tls(StrEnum):
    """How a connection is protected between this process and the server."""

    VERIFIED = "verified"
    UNVERIFIED = "unverified"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """Where to log in, as whom, and how to know that it is the right server.

    Parameters
    ----------
    host
        The server's name, which its certificate is verified against.
    address
        The IP address to connect to; `host` is looked up where it is None.
    port
        The port at that address.
    user, password, dbname
        Who, and into which database.
    ca
        Certificates in PEM to verify the server with; None where there are none to be had.
    options
        Command-line options for the session, such as ``-c lock_timeout=10s``.
    timeout
        How long the login may take, in seconds.
    """

    host: str
    port: int
    user: str
    password: Secret
    dbname: str
    address: str | None = None
    ca: str | None = None
    options: str = ""
    timeout: float = 30.0


def parameters(login: Login, *, tls: Tls, ca_file: Path | None = None) -> dict[str, Any]:
    """Return every parameter of libpq that has a variable or a file as its default, and the rest we want.

    Parameters
    ----------
    login
        Where and as whom. Its password is in the result: nobody shows it.
    tls
        What shall protect the connection.
    ca_file
        The file with the certificate authority, where `tls` is verified.
    """
    wanted: dict[str, str] = {
        "host": login.host,
        "hostaddr": login.address or "",
        "port": str(login.port),
        "user": login.user,
        "password": login.password.reveal(),
        "dbname": login.dbname,
        "passfile": _NOWHERE,
        "connect_timeout": str(max(2, round(login.timeout))),  # libpq takes 1 for 2
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
        # Where a file is there, ``require`` would verify with it.
        "sslrootcert": str(ca_file) if ca_file else _NOWHERE,
        "sslcrl": _NOWHERE,
        "sslcrldir": "",
        "sslsni": "1",
        "ssl_min_protocol_version": "TLSv1.2",
        "ssl_max_protocol_version": "",
        "min_protocol_version": "3.0",
        "max_protocol_version": "3.0",
        "channel_binding": "prefer",
        # With SCRAM the server proves, too, that it knows the password. One that nothing else proves to be the right
        # one gets no other answer: the password can be guessed from an MD5 answer, and a server that lets everybody in
        # may be any. An empty text would forbid every method: libpq takes it for a list.
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
    """Take out of the environment, meanwhile, what libpq reads there and has no parameter for."""
    with _environment:
        taken = {name: os.environ.pop(name) for name in _KEYWORDLESS if name in os.environ}
        try:
            yield
        finally:
            os.environ.update(taken)


def log_in(login: Login) -> tuple[psycopg.Connection[Any], Tls]:
    """Log in, and say how the connection is protected.

    Returns
    -------
    tuple of psycopg.Connection and Tls
        The connection, in autocommit mode.

    Raises
    ------
    psycopg.Error
        If it does not succeed; its text holds no password.
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
    """Connect with the authority in a file of our own, which lives as long as the connection.

    libpq takes a file only, and reads it again for the second connection that cancels a statement.
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
    except BaseException as error:  # noqa: BLE001 - raised again, an interruption too
        # The frames below hold the password in local variables, which a verbose traceback would show.
        raise error.with_traceback(None) from None
