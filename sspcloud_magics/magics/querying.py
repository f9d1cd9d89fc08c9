"""A table into a DataFrame: ``%connect_db``, ``%query_db``, ``%%query_db``."""

from __future__ import annotations

import getpass
import keyword
import os
from collections import ChainMap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from IPython.core.error import StdinNotImplementedError
from IPython.core.magic import (
    Magics,
    line_cell_magic,
    line_magic,
    magics_class,
    needs_local_scope,
    no_var_expand,
)

from sspcloud_magics import session
from sspcloud_magics.errors import CredentialsNotFound, UsageProblem
from sspcloud_magics.magics.arguments import argument, arguments, magic_arguments
from sspcloud_magics.magics.display import with_notes
from sspcloud_magics.secret import Secret

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


def ask_password(prompt: str) -> str:
    """Ask in a field of its own, which no notebook saves.

    Raises
    ------
    CredentialsNotFound
        If nobody can be asked, because a machine runs the notebook.
    """
    try:
        return getpass.getpass(prompt)
    except (EOFError, StdinNotImplementedError):
        raise CredentialsNotFound(
            "The password cannot be asked for: nobody sits in front of this notebook.",
            mend="%connect_db NAME --url-env VAR takes a URL with the password from the environment",
        ) from None


@magics_class
class QueryingMagics(Magics):
    """The magics for databases."""

    @property
    def _notebook(self) -> dict[str, Any]:
        """The notebook's variables."""
        variables: dict[str, Any] = cast("InteractiveShell", self.shell).user_ns
        return variables

    @no_var_expand
    @magic_arguments()
    @argument(
        "database_name",
        metavar="NAME",
        nargs="?",
        help="the database, or NAMESPACE/NAME for a colleague's; all that there are, where it is left out",
    )
    @argument("--user", metavar="USER", help="connect as this user; the password is asked for")
    @argument("--database", metavar="DATABASE", help="the database inside the server")
    @argument(
        "--url-env",
        metavar="VAR",
        help="take user and password from the URL that this variable of the environment holds",
    )
    @argument("-n", "--namespace", metavar="NAMESPACE", help="the database's namespace, instead of your own")
    @argument("--route", choices=["direct", "forward", "relay"], help="by this way only")
    @line_magic
    def connect_db(self, line: str) -> Any:
        """Connect to a database of the cluster; %query_db asks it from then on.

        The way is chosen for you, and user and password are read from the cluster: nothing else is needed for
        your own databases, nor for a colleague's that was shared with you. Otherwise --user asks for the
        password that a colleague told you. A password is never taken from the line. Without a name, the
        databases that there are are listed.

        Examples::

            %connect_db postgresql-cnpg-951239
            %connect_db user-alice/postgresql-cnpg-951239
            %connect_db user-alice/postgresql-cnpg-951239 --user reader

        The same in Python: ``ssp.connect_db("user-alice/postgresql-cnpg-951239")``.
        """
        given = arguments(self, "connect_db", line)
        if given.database_name is None:
            return session.databases(namespace=given.namespace)
        return session.connect_db(
            given.database_name,
            namespace=given.namespace,
            user=given.user,
            database=given.database,
            url=_url_of(given.url_env),
            ask_password=ask_password,
            route=given.route,
        )

    @no_var_expand
    @needs_local_scope
    @magic_arguments()
    @argument("--into", metavar="VARIABLE", help="keep the result in this variable")
    @argument("--limit", metavar="ROWS", type=int, help="fetch this many rows at most")
    @line_cell_magic
    def query_db(self, line: str, cell: str | None = None, local_ns: Mapping[str, Any] | None = None) -> Any:
        """Ask the connected database, and get a DataFrame.

        On one line everything behind %query_db is SQL. In a cell that begins with %%query_db the options
        stand on that line and the SQL below. ``:name`` in the SQL is the notebook's variable of that
        name; the server binds its value, so no quoting is needed.

        Examples::

            df = %query_db SELECT * FROM communes WHERE departement = :departement

            %%query_db --into df --limit 1000
            SELECT *
            FROM communes

        The same in Python: ``ssp.query_db("SELECT …", {"departement": "35"})``.
        """
        variables: Mapping[str, Any] = ChainMap(dict(local_ns or {}), self._notebook)
        if cell is None:
            return with_notes(session.query_db(_statement(line), variables))
        given = arguments(self, "query_db", line)
        if given.into is not None and (not given.into.isidentifier() or keyword.iskeyword(given.into)):
            raise UsageProblem(
                f"{given.into!r} cannot be the name of a variable.", mend="%%query_db --into df"
            )
        if given.limit is not None and given.limit < 1:
            raise UsageProblem("--limit is the number of rows to fetch, 1 at least.")
        if not cell.strip():
            raise UsageProblem("The cell holds no SQL.", mend="write it below the line of %%query_db")
        result = with_notes(session.query_db(cell, variables, limit=given.limit))
        if given.into is not None:
            self._notebook[given.into] = result
        return result


def _statement(line: str) -> str:
    """Return the SQL of a line; an option there would be a comment to the server."""
    if not line.strip():
        raise UsageProblem(
            "There is no SQL on the line.", mend="df = %query_db SELECT 1\n%query_db? says more"
        )
    if line.lstrip().startswith(("--into", "--limit")):
        raise UsageProblem(
            "%query_db takes SQL only: its options belong to a cell that begins with %%query_db.",
            mend="df = %query_db SELECT …",
        )
    return line


def _url_of(variable: str | None) -> Secret | None:
    if variable is None:
        return None
    value = os.environ.get(variable)
    if not value:
        # What was typed is not repeated: it may be the URL itself.
        raise CredentialsNotFound(
            "The environment has no such variable, or it is empty.",
            mend="set it before the notebook's kernel starts, as VAR=postgresql://USER:PASSWORD@HOST/DATABASE\n"
            "%connect_db NAME --user USER asks for the password instead",
        )
    return Secret(value)
