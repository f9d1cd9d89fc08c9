"""One DuckDB instance for this process: its settings, the databases that are attached to it, and the access to S3.

The instance lives until `close`. Each use brings it up to date: databases that were connected or closed in the meantime are
attached or detached, and the keys to S3 are read again. After a refused login, a share's renewed password replaces the old one.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from typing import TYPE_CHECKING

from sspcloud_magics import fork_hooks
from sspcloud_magics.databases.arrow import import_optional
from sspcloud_magics.errors import CredentialsNotFound, UsageProblem
from sspcloud_magics.i18n import _
from sspcloud_magics.lake import extensions, memory
from sspcloud_magics.lake.attachment import CONNECTIONS, Attachment, attach, detach, identifier, literal
from sspcloud_magics.lake.s3_access import S3Access, find_access

if TYPE_CHECKING:
    import duckdb

    from sspcloud_magics.databases.postgres.session.connection import DatabaseConnection
    from sspcloud_magics.lake.s3_uploads import Batch, Uploads

CURRENT = "pg"
"""The name of the current connection's database in DuckDB."""


class Instance:
    """A DuckDB instance in memory, and what is attached to it."""

    def __init__(self) -> None:
        package = import_optional("duckdb", "duckdb", _("One query over databases and files"))
        self.duck: duckdb.DuckDBPyConnection = package.connect(
            ":memory:",
            config={
                "memory_limit": f"{int(memory.memory_limit() * memory.SHARE)}B",
                "temp_directory": memory.temporary_folder(self),
                # A query must not wait for a download that the network of the datalab refuses.
                "autoinstall_known_extensions": False,
            },
        )
        # The attached databases, by their names in DuckDB.
        self._attached: dict[str, Attachment] = {}
        # The connections that they go through, by the same names.
        self._sources: dict[str, DatabaseConnection] = {}
        # Keep the files with certificate authorities alive, by the same names.
        self._owners: dict[str, _Owner] = {}
        # The access to S3 that DuckDB has; None until keys are found.
        self._s3: S3Access | None = None
        # The objects that are being written to S3; None until S3 is used.
        self._uploads: Uploads | None = None
        # The connection that the user and the magics share, so that temporary tables last over several cells.
        self._shared: duckdb.DuckDBPyConnection | None = None
        # Held while the instance is brought up to date.
        self._lock = threading.Lock()

    def refresh(
        self, sources: Mapping[str, DatabaseConnection], *, read_only: bool = True, needs_s3: bool = False
    ) -> None:
        """Attach and detach databases, and renew logins and keys.

        Parameters
        ----------
        sources
            The open connections by their names in DuckDB.
        read_only
            Whether DuckDB may only read the databases.
        needs_s3
            Whether missing keys or a missing extension for S3 is an error.

        Raises
        ------
        UsageProblem
            If an extension is missing.
        CredentialsNotFound
            If there are no keys to S3, and `needs_s3`.
        """
        with self._lock:
            self._sources = dict(sources)
            for alias in [alias for alias in self._attached if alias not in sources]:
                self._detach(alias)
            for alias in sources:
                self._attach_if_changed(alias, read_only=read_only)
            try:
                self._refresh_s3()
            except (UsageProblem, CredentialsNotFound):
                if needs_s3:
                    raise

    def _attach_if_changed(self, alias: str, *, read_only: bool) -> bool:
        source = self._sources[alias]
        wanted = Attachment(alias, source.login, read_only, application(alias))
        if self._attached.get(alias) == wanted:
            return False
        self._attach(source, wanted)
        return True

    def renew_logins(self) -> bool:
        """Read the logins again, attach the databases whose login has changed, and return whether there are any."""
        with self._lock:
            for source in self._sources.values():
                source.renew_login()
            changed = [
                self._attach_if_changed(alias, read_only=self._attached[alias].read_only)
                for alias in self._sources
            ]
            return any(changed)

    def _attach(self, source: DatabaseConnection, wanted: Attachment) -> None:
        if not self._owners:
            extensions.load(self.duck, extensions.POSTGRES)
            self.duck.execute(f"SET GLOBAL pg_pool_max_connections = {CONNECTIONS}")
            # The default mode opens more connections than the pool has.
            self.duck.execute("SET GLOBAL pg_pool_acquire_mode = 'wait'")
        self._detach(wanted.alias)
        owner = _Owner()
        attach(self.duck, source, wanted, owner)
        self._attached[wanted.alias], self._owners[wanted.alias] = wanted, owner

    def _detach(self, alias: str) -> None:
        if self._attached.pop(alias, None) is not None:
            detach(self.duck, alias)

    def _refresh_s3(self) -> None:
        found = find_access()
        if found == self._s3:
            return
        if self._s3 is None:
            self._load_s3()
        token = f", SESSION_TOKEN {literal(found.token.reveal())}" if found.token else ""
        self.duck.execute(
            f"CREATE OR REPLACE SECRET {identifier('__sspcloud_s3')} (TYPE s3, KEY_ID {literal(found.key)}, "
            f"SECRET {literal(found.secret.reveal())}{token}, REGION {literal(found.region)}, "
            f"ENDPOINT {literal(found.endpoint)}, URL_STYLE 'path', USE_SSL {str(found.use_tls).lower()})"
        )
        self._s3 = found

    def _load_s3(self) -> None:
        extensions.load(self.duck, extensions.HTTPFS)
        # It has copied the environment's keys into its settings, where every query could show them.
        for setting in ("s3_access_key_id", "s3_secret_access_key", "s3_session_token"):
            self.duck.execute(f"SET GLOBAL {setting} = ''")
        import_optional("fsspec", "duckdb", _("An object in S3"))
        from sspcloud_magics.lake.s3_uploads import Uploads  # noqa: PLC0415 - optional

        self._uploads = Uploads()
        self.duck.register_filesystem(self._uploads)

    def batch(self) -> AbstractContextManager[Batch]:
        """Return a context in which DuckDB writes objects, which appear at its end; see `Uploads.batch`.

        Call it after a `refresh` with ``needs_s3``.
        """
        if self._uploads is None or self._s3 is None:
            raise RuntimeError("S3 is not ready.")
        return self._uploads.batch(self._s3)

    def open_shared(self) -> duckdb.DuckDBPyConnection:
        """Return the connection that the user and the magics share; a new one if the user has closed it."""
        import duckdb  # noqa: PLC0415 - optional

        try:
            is_open = self._shared is not None and self._shared.execute("SELECT 1") is not None
        except duckdb.ConnectionException:
            is_open = False
        except duckdb.Error:  # a failed transaction, which the user must end
            is_open = True
        if self._shared is None or not is_open:
            self._shared = self.duck.cursor()
        return self._shared

    def secrets(self) -> Iterator[str]:
        """Yield the texts that no error may show."""
        for attached in self._attached.values():
            yield attached.login.password.reveal()
        if self._s3 is not None:
            yield self._s3.secret.reveal()
            if self._s3.token is not None:
                yield self._s3.token.reveal()

    def close(self) -> None:
        """Close the instance and its connections to the servers."""
        with self._lock, suppress(Exception):  # DuckDB's errors on an instance that the user has closed
            self.duck.close()


class _Owner:
    """The owner of a file that exists as long as a database is attached."""


def application(alias: str) -> str:
    """Return the name of DuckDB's connections at the server; it tells this process's queries apart.

    Examples
    --------
    >>> application("pg").startswith("sspcloud-magics duckdb pg ")
    True
    """
    return f"sspcloud-magics duckdb {alias} {os.getpid()}"[:63]  # not translated: a name


# The instance of this process; None until it is first used.
_instance: Instance | None = None


def current() -> Instance:
    """Return the instance of this process, and create it at its first use."""
    global _instance  # noqa: PLW0603 - of the process
    if _instance is None:
        _instance = Instance()
    return _instance


def close() -> None:
    """Close the instance of this process, if there is one."""
    global _instance
    if _instance is not None:
        closing, _instance = _instance, None
        closing.close()


def _forget() -> None:
    global _instance  # noqa: PLW0603 - of the process
    # A child has none of DuckDB's threads, and must not close the parent's sockets: it leaves the object alone.
    if _instance is not None:
        _abandoned.append(_instance)
        _instance = None


# Instances of the parent process, which are never freed here.
_abandoned: list[Instance] = []
fork_hooks.call_in_child(_forget)


def sources_by_name(opened: Sequence[DatabaseConnection]) -> dict[str, DatabaseConnection]:
    """Return connections by their names in DuckDB: the last, which is the current one, as ``pg``, others by their databases."""
    named: dict[str, DatabaseConnection] = {}
    for place, each in enumerate(reversed(opened)):
        short = each.database.name.replace("-", "_")
        whole = each.database.path.replace("-", "_").replace("/", "_")
        name = CURRENT if not place else short if short not in named else whole
        named.setdefault(name, each)
    return named
