"""The connection to a database of MongoDB: PyMongo's client, which has its own pool and connects again by itself."""

from __future__ import annotations

import logging
from typing import Any, NoReturn

import pymongo
from bson.binary import UuidRepresentation
from bson.codec_options import CodecOptions, DatetimeConversion
from pymongo.errors import PyMongoError

from sspcloud_magics import fork_hooks
from sspcloud_magics.databases.connection import Connection
from sspcloud_magics.databases.discovery import Database
from sspcloud_magics.databases.login import Login, Tls
from sspcloud_magics.databases.mongodb import errors
from sspcloud_magics.errors import UsageProblem
from sspcloud_magics.i18n import N_, _

_log = logging.getLogger(__name__)

CODEC: CodecOptions[dict[str, Any]] = CodecOptions(
    tz_aware=True,
    uuid_representation=UuidRepresentation.STANDARD,
    # Python has no year after 9999.
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
)


class MongodbConnection(Connection):
    """A connection to one database of MongoDB; its parameters are those of `Connection`.

    Raises
    ------
    LoginRefused, DatabaseUnavailable
        If the login fails.
    """

    usual_dbname = "test"
    _next_steps = (
        N_("%tables   lists the collections that you may read"),
        N_("%%query_db   takes a command document, and returns documents as a DataFrame"),
    )

    def __init__(self, database: Database, login: Login, **more: Any) -> None:
        super().__init__(database, login, **more)
        self._client = self._log_in()
        self._closed = False
        fork_hooks.register(self)

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open: never, since each command stands alone."""
        return False

    @property
    def mongo(self) -> Any:
        """The database, as PyMongo's object.

        Raises
        ------
        NotConnected
            If the connection is closed.
        """
        with self.turn:
            self._refuse_if_closed()
            self._stop_unread()
            if self._is_inherited:
                self._client, self._is_inherited = self._log_in(), False
            return self._client.get_database(self.dbname, codec_options=CODEC)

    def transaction(self) -> NoReturn:
        """Refuse: a transaction of MongoDB belongs to a session of PyMongo's.

        Raises
        ------
        UsageProblem
            Always.
        """
        raise UsageProblem(
            _("Transactions are for SQL, and {path} is MongoDB.", path=self.database.path),
            hint=_("with ssp.connection().client.start_session() as session: …   is PyMongo's own"),
        )

    def _end_session(self, *, is_idle: bool) -> None:  # noqa: ARG002 - a client may be closed by any thread
        if not self._is_inherited:
            self._client.close()

    def _leave_to_parent(self) -> None:
        """Do nothing: PyMongo's clients do not survive a fork."""

    def _log_in(self) -> Any:
        self._lease_forward()
        login = self._login
        milliseconds = max(1, round(login.timeout * 1000))
        client: Any = pymongo.MongoClient(
            login.address or login.host,
            login.port,
            username=login.user or None,
            password=login.password.reveal() if login.user else None,
            authSource=login.dbname,
            # A forward leads to one member: the addresses of the others are those inside the cluster.
            directConnection=True,
            appname="sspcloud-magics",
            serverSelectionTimeoutMS=milliseconds,
            connectTimeoutMS=milliseconds,
        )
        try:
            client.get_database(login.dbname).command("ping")
        except PyMongoError as error:
            client.close()
            self._give_up()
            _log.info("%s: login as %s failed (%s)", self.database.path, self.user, type(error).__name__)
            raise errors.make_login_error(
                error, place=self.database.path, user=self.user, password=login.password
            ) from None
        except BaseException:
            client.close()
            self._give_up()
            raise
        self.tls = Tls.ABSENT  # the chart offers none
        _log.info("%s: logged in as %s", self.database.path, self.user)
        return client
