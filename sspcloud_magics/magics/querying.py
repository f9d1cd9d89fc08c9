"""``%connect_db``, ``%query_db``, ``%queries``: connect to databases, and query them."""

from __future__ import annotations

import argparse
import getpass
import keyword
import os
import re
import time
from collections import ChainMap
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
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
from IPython.display import display

from sspcloud_magics import session
from sspcloud_magics.databases.clients import ClientGuide
from sspcloud_magics.errors import CredentialsNotFound, UsageProblem
from sspcloud_magics.i18n import N_, _, _n
from sspcloud_magics.magics.arguments import (
    argument,
    arguments,
    fill_in,
    magic_arguments,
    visible_variables,
)
from sspcloud_magics.magics.display import Note, with_notes
from sspcloud_magics.magics.progress import show_progress
from sspcloud_magics.magics.query_history import (
    Query,
    QueryHistory,
    count_rows,
    name_error,
    query_table,
    why_not_kept,
)
from sspcloud_magics.magics.status_line import steps
from sspcloud_magics.secret import Secret, without_frames
from sspcloud_magics.spelling import nearest

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


def ask_password(prompt: str) -> str:
    """Ask for a password in a hidden field, which no notebook saves.

    Raises
    ------
    CredentialsNotFound
        If a machine runs the notebook, so that there is no user to ask.
    """
    try:
        return getpass.getpass(prompt)
    except (EOFError, StdinNotImplementedError):
        raise CredentialsNotFound(
            _("No user can type the password: a machine runs this notebook."),
            hint=_("%connect_db NAME --url-env VAR   reads a URL with the password from the environment"),
        ) from None


@magics_class
class QueryingMagics(Magics):
    """The magics for databases."""

    def __init__(self, shell: InteractiveShell | None = None) -> None:
        super().__init__(shell)
        self.history = QueryHistory()

    @property
    def _notebook(self) -> dict[str, Any]:
        """The notebook's variables."""
        variables: dict[str, Any] = cast("InteractiveShell", self.shell).user_ns
        return variables

    @magic_arguments()
    @argument(
        "database_name",
        metavar="NAME",
        nargs="?",
        help=N_("the database, or NAMESPACE/NAME for a colleague's; without it, the databases are listed"),
    )
    @argument("--user", metavar="USER", help=N_("connect as this user, and ask for the password"))
    @argument("--database", metavar="DATABASE", help=N_("the database inside the server"))
    @argument(
        "--url-env",
        metavar="VAR",
        help=N_("read user and password from the URL in this environment variable"),
    )
    @argument(
        "-n", "--namespace", metavar="NAMESPACE", help=N_("the database's namespace, instead of your own")
    )
    @argument("--route", choices=["direct", "forward", "relay"], help=N_("use only this route"))
    @argument(
        "--image",
        metavar="IMAGE",
        help=N_(
            "the image of a relay, with socat, if your cluster cannot pull alpine/socat; "
            "%%config SSPCloud.relay_image sets it for all relays"
        ),
    )
    @argument(
        "--for",
        dest="client",
        choices=["r", "psql", "dbeaver", "qgis"],
        help=N_("open a port and store the login for this client, and show its lines"),
    )
    @argument("--forget", action="store_true", help=N_("remove the login that --for has stored"))
    @line_magic
    def connect_db(self, line: str) -> Any:
        """Connect to a database of the cluster; %query_db now uses it.

        The route is chosen for you, and user and password are read from the cluster: your own databases, and those
        shared with you, need nothing else. For other databases, --user asks for the password that a colleague gave
        you. A password is never accepted on the line. Without a name, the databases are listed. For a database with a
        client of its own, such as Elasticsearch, the answer is the lines that connect it.

        Examples::

            %connect_db postgresql-cnpg-951239
            %connect_db user-alice/postgresql-cnpg-951239
            %connect_db user-alice/postgresql-cnpg-951239 --user reader
            %connect_db user-alice/postgresql-cnpg-951239 --for r

        The same in Python: ``ssp.connect_db("user-alice/postgresql-cnpg-951239")``.
        """
        given = arguments(self, "connect_db", line)
        if given.database_name is None:
            return session.databases(namespace=given.namespace)
        if given.forget:
            known = session.forget_client(given.database_name, namespace=given.namespace)
            return Note(_("The stored login is removed.") if known else _("No login was stored."))
        if given.client:
            with steps() as progress:
                return session.connect_client(
                    given.database_name, given.client, namespace=given.namespace, progress=progress
                )
        try:
            with steps() as progress:
                return session.connect_db(
                    given.database_name,
                    namespace=given.namespace,
                    user=given.user,
                    database=given.database,
                    url=_read_url(given.url_env),
                    ask_password=ask_password,
                    route=given.route,
                    image=given.image,
                    progress=progress,
                )
        except ClientGuide as guide:
            return guide

    @no_var_expand
    @needs_local_scope
    @magic_arguments()
    @argument(
        "--db", dest="open_database", metavar="NAME", help=N_("use this connected database, not the latest")
    )
    @argument("--into", metavar="VARIABLE", help=N_("store the result in this variable, and show it"))
    @argument("--limit", metavar="ROWS", type=int, help=N_("fetch this many rows at most"))
    @argument(
        "--to", metavar="FILE", help=N_("write the rows into FILE.parquet or FILE.csv, with little memory")
    )
    @argument(
        "--from",
        dest="from_",
        metavar="FILE",
        help=N_("read FILE as the input of the cell's COPY … FROM STDIN"),
    )
    @argument("--overwrite", action="store_true", help=N_("let --to replace an existing file"))
    @argument(
        "--chunks",
        metavar="ROWS",
        type=int,
        help=N_("make the variable an iterator over chunks of ROWS rows"),
    )
    @argument(
        "--as",
        dest="as_",
        choices=["pandas", "geopandas", "arrow", "polars", "dask"],
        default="pandas",
        help=N_("the result's type"),
    )
    @argument(
        "--partition-on",
        metavar="COLUMN",
        help=N_("with --as dask: the column whose ranges are the partitions"),
    )
    @argument("--partitions", metavar="NUMBER", type=int, help=N_("with --as dask: the number of partitions"))
    @argument(
        "--numeric", choices=["float", "decimal"], default="float", help=N_("the Python type of numeric")
    )
    @argument("--timeout", metavar="TIME", help=N_("cancel the query after this time: 30s, 5m, 1h"))
    @argument(
        "--params",
        metavar="VARIABLE",
        help=N_("a dict with parameters, which override the notebook's variables"),
    )
    @argument("--save", metavar="NAME", help=N_("if the query succeeds, save it under this name, for --with"))
    @argument(
        "--with",
        dest="saved_statements",
        metavar="NAME",
        nargs="+",
        action="extend",
        default=[],
        help=N_("saved queries that the statement uses like tables, by their names"),
    )
    @argument(
        "--duckdb",
        action="store_true",
        help=N_("run the SQL in DuckDB: the database is pg, DataFrames and s3:// files are tables"),
    )
    @argument(
        "--partition-by",
        metavar="COLUMN",
        nargs="+",
        default=[],
        help=N_("with --to s3://…: divide the rows into objects by these columns"),
    )
    @argument("--explain", action="store_true", help=N_("show the plan of the query, and do not run it"))
    @argument(
        "--begin", action="store_true", help=N_("begin a transaction before the cell's SQL, if it has any")
    )
    @argument(
        "--commit", action="store_true", help=N_("commit the transaction, after the cell's SQL if it has any")
    )
    @argument("--rollback", action="store_true", help=N_("roll back the transaction"))
    @line_cell_magic
    def query_db(self, line: str, cell: str | None = None, local_ns: Mapping[str, Any] | None = None) -> Any:
        """Query the connected database, and return a DataFrame.

        On one line, everything after %query_db is SQL. In a cell, the options are on the line of %%query_db and the
        SQL is below it; comments may come first, and ``df =`` before %%query_db. ``:name`` in the SQL is the notebook's
        variable of that name; the server binds its value, so it needs no quotes. ``{name}`` and ``$name`` in the options
        are filled in. Each statement is a transaction of its own, unless one is open. ``%queries`` lists past statements.

        Examples::

            df = %query_db SELECT * FROM communes WHERE departement = :departement

            df = %%query_db --limit {rows}
            SELECT *
            FROM communes

            %%query_db --to individus.parquet
            SELECT * FROM individus

            %%query_db --save large
            SELECT * FROM communes WHERE population > :least

            %%query_db --with large
            SELECT departement, count(*) FROM large GROUP BY departement

            %query_db --begin
            %query_db --rollback

            ddf = %query_db --as dask individus --partition-on id

        The same in Python: ``ssp.query_db("SELECT …", {"departement": "35"})``, and ``with ssp.transaction():``.
        """
        variables: Mapping[str, Any] = visible_variables(self, local_ns)
        if cell is None:
            return self._query_line(line, variables, local_ns)
        given = arguments(self, "query_db", fill_in(line, variables))
        _check_options(given)
        if given.params is not None:
            variables = ChainMap(_find_dict(given.params, variables), cast("dict[str, Any]", variables))
        if not cell.strip():
            if given.begin or given.commit or given.rollback:
                return self._transaction_alone(given)
            raise UsageProblem(_("The cell has no SQL."), hint=_("write it below the line of %%query_db"))
        name, sql = self._compose(given, line, cell)
        keep = partial(
            self._record,
            sql=cell.strip("\n"),
            options=line,
            db=given.open_database,
            on_duckdb=given.duckdb,
            name=name,
            uses=tuple(given.saved_statements),
        )
        if given.explain:
            return keep(partial(self._plan, given, sql, variables))
        if given.chunks is not None:
            self._close_chunks(given.into)
        query = partial(
            session.query_db,
            sql,
            variables,
            limit=given.limit,
            numeric=given.numeric,
            timeout=_timeout(given),
            as_=given.as_,
            to=given.to,
            overwrite=given.overwrite,
            from_=given.from_,
            chunks=given.chunks,
            db=given.open_database,
            duckdb=given.duckdb,
            partition_by=given.partition_by,
            warn=_warn,
        )
        run = partial(self._run_in_transaction, given, query)
        result = keep(partial(_read_dask, given, sql, variables) if given.as_ == "dask" else run)
        if given.into is not None:
            self._notebook[given.into] = result
        return result

    @needs_local_scope
    @magic_arguments()
    @argument(
        "--run", metavar="NUMBER", type=int, help=N_("run this statement again, with today's variables")
    )
    @argument("--copy", metavar="NUMBER", type=int, help=N_("put this statement into a new cell below"))
    @line_magic
    def queries(self, line: str, local_ns: Mapping[str, Any] | None = None) -> Any:
        """List the past statements of this notebook, the newest first, as a DataFrame.

        Each has its time, rows, duration, error, database, and the name that --save gave it. They are saved for the
        notebook's next kernels, in a file that only you can read, without the values of parameters, and without
        statements that seem to contain a password. ``%config SSPCloud.keep_queries = False`` turns that off.

        Examples::

            %queries
            %queries --run 12
            %queries --copy 12

        The same in Python: ``get_ipython().run_line_magic("queries", "")``. Statements of ``ssp.query_db`` are not listed.
        """
        given = arguments(self, "queries", line)
        if given.run is not None and given.copy is not None:
            raise UsageProblem(_("--run and --copy exclude each other."), hint=_("use one of them"))
        number = given.copy if given.run is None else given.run
        listed = self.history.queries()
        if number is None:
            return query_table(listed)
        found = next((each for each in listed if each.number == number), None)
        if found is None:
            raise UsageProblem(
                _("No statement has the number {number}.", number=number), hint=_("%queries   lists them")
            )
        if given.run is None:
            cast("InteractiveShell", self.shell).set_next_input(found.cell)
            return None
        is_elsewhere = found.dbname != "duckdb"
        if is_elsewhere and (dbname := session.current_connection(found.database).dbname) != found.dbname:
            raise UsageProblem(
                _("Statement {number} belongs to the database {dbname}.", number=number, dbname=found.dbname),
                why=_("{database} is connected to {dbname}.", database=found.database, dbname=dbname),
                hint=f"%connect_db {found.database} --database {found.dbname}",  # not translated: a command
            )
        options, _unused, sql = found.cell.removeprefix("%%query_db").partition("\n")
        return cast("Any", self).query_db(options, sql, local_ns)

    def _query_line(self, line: str, variables: Mapping[str, Any], local_ns: Mapping[str, Any] | None) -> Any:
        """Run the SQL of a line, which has no options but those of --as dask."""
        if _TRANSACTION.fullmatch(line):
            return self._transaction_alone(arguments(self, "query_db", fill_in(line, variables)))
        if found := _ON_DASK.fullmatch(line):
            return cast("Any", self).query_db(f"{found['before']} {found['after']}", found["sql"], local_ns)
        sql = _require_sql(line)
        return self._record(partial(self._run, partial(session.query_db, sql, variables, warn=_warn)), sql)

    def _compose(self, given: argparse.Namespace, line: str, cell: str) -> tuple[str, str]:
        """Return the name to save a cell's statement under, and the statement with the saved ones prepended."""
        if given.save is None and not given.saved_statements:
            return "", cell
        connection = session.current_connection(given.open_database)
        from sspcloud_magics.databases import kinds  # noqa: PLC0415 - the magics load without it

        dialect = kinds.get(connection.database.kind).dialect
        if dialect is None:
            raise UsageProblem(
                _("--save and --with are for SQL, and {path} is MongoDB.", path=connection.database.path),
                hint=_("keep the command in a variable: ssp.query_db(command)"),
            )
        from sspcloud_magics.databases.postgres.sql import cte, name_cache  # noqa: PLC0415 - the magics load without it
        from sspcloud_magics.databases.postgres.sql_lexer import fold  # noqa: PLC0415

        given.saved_statements = [
            fold(name) for words in given.saved_statements for name in words.split(",") if name
        ]
        saved, name = self.history.find_saved(), ""
        if given.save is not None:
            read = name_cache.last_read(connection)
            name = cte.check_name(given.save, read.names.reserved if read and read.names else ())
            cte.check_query(cell, name, given.saved_statements, saved, dialect)
            if why := why_not_kept(f"{line}\n{cell}"):
                raise UsageProblem(
                    _("The statement cannot be saved."),
                    why=why,
                    hint=_("write a secret as a parameter: :name"),
                )
        if not given.saved_statements:
            return name, cell
        return name, cte.compose(cell, given.saved_statements, saved, dialect)

    def _record(
        self,
        run: Callable[[], Any],
        sql: str,
        *,
        db: str | None = None,
        on_duckdb: bool = False,
        **more: Any,
    ) -> Any:
        """Run a statement, and add it to the history with its outcome."""
        if on_duckdb:
            database = dbname = "duckdb"
        else:
            connection = session.current_connection(db)
            database, dbname = connection.database.path, connection.dbname
        query = Query(time=datetime.now(UTC), database=database, dbname=dbname, sql=sql, **more)
        began = time.perf_counter()

        def keep(**outcome: Any) -> None:
            done = replace(query, seconds=time.perf_counter() - began, **outcome)
            if problem := self.history.add(done):
                _warn(problem)

        try:
            result = run()
        except BaseException as error:
            keep(error=name_error(error), name="")
            raise
        keep(rows=count_rows(result))
        return result

    def _run(self, query: Callable[..., Any], *, ends: bool = False) -> Any:
        """Run a query, display its progress and the notes of its result, and return the result.

        Parameters
        ----------
        query
            A function with the parameter ``progress``.
        ends
            Whether the cell ends the open transaction, so that no note mentions it.
        """
        began = time.perf_counter()
        with show_progress() as progress:
            result = query(progress=progress)
        # The query has imported pandas and psycopg; the magics load without them.
        from sspcloud_magics.databases.query_result import TRANSACTION_OPEN  # noqa: PLC0415
        from sspcloud_magics.magics import dataframe_display  # noqa: PLC0415

        dataframe_display.register(cast("InteractiveShell", self.shell), result, time.perf_counter() - began)
        return with_notes(result, apart=TRANSACTION_OPEN if ends else None)

    def _run_in_transaction(self, given: argparse.Namespace, query: Callable[..., Any]) -> Any:
        """Run a query, and begin and end the transaction as the options say."""
        db = given.open_database
        if given.begin and given.commit:
            with session.transaction(db):
                return self._run(query, ends=True)
        if given.begin:
            session.begin(db)
        elif given.commit:
            session.need_transaction(db)
        result = self._run(query, ends=given.commit)
        if given.commit:
            session.commit(db)
        return result

    def _transaction_alone(self, given: argparse.Namespace) -> Any:
        """Begin or end a transaction without running SQL."""
        chosen = [name for name in ("begin", "commit", "rollback") if getattr(given, name)]
        if len(chosen) != 1:
            raise UsageProblem(
                _("Without SQL, use one of --begin, --commit and --rollback."), hint="%query_db --begin"
            )
        end = {"begin": session.begin, "commit": session.commit, "rollback": session.rollback}
        return end[chosen[0]](given.open_database)

    def _plan(self, given: argparse.Namespace, cell: str, variables: Mapping[str, Any]) -> Note:
        if given.duckdb:
            from sspcloud_magics.session import lake  # noqa: PLC0415 - optional

            return Note(lake.plan(cell, variables))
        from sspcloud_magics.databases import kinds  # noqa: PLC0415 - the magics load without it

        kind = kinds.get(session.current_connection(given.open_database).database.kind)
        plan = session.query_db(
            kind.explain(cell), variables, timeout=_timeout(given), db=given.open_database
        )
        return Note("\n".join(plan.iloc[:, 0])) if kind.explains_in_text else plan

    def _close_chunks(self, name: str) -> None:
        """Close the iterator that an earlier run of the cell has left open."""
        from sspcloud_magics.databases.chunks import Chunks  # noqa: PLC0415 - the magics load without it

        before = self._notebook.get(name)
        if isinstance(before, Chunks):
            before.close()


def _check_options(given: argparse.Namespace) -> None:
    """Refuse invalid options, and options that exclude each other."""
    no_duckdb = [
        name
        for name in ("open_database", "from_", "save", "saved_statements", "begin", "commit", "rollback")
        if given.duckdb and getattr(given, name)
    ]
    if no_duckdb:
        name = {"open_database": "db", "from_": "from", "saved_statements": "with"}.get(
            no_duckdb[0], no_duckdb[0]
        )
        raise UsageProblem(
            _("--{name} does not work with --duckdb.", name=name),
            hint=_("leave out one of them; in DuckDB's SQL, BEGIN and COMMIT work"),
        )
    _check_dask(given)
    if given.into is not None and (not given.into.isidentifier() or keyword.iskeyword(given.into)):
        raise UsageProblem(
            _("{into!r} cannot be the name of a variable.", into=given.into),
            hint="%%query_db --into df",  # not translated: a command
        )
    for name in ("limit", "chunks"):
        if (getattr(given, name) or 1) < 1 or getattr(given, name) == 0:
            raise UsageProblem(_("--{name} is a number of rows, at least 1.", name=name))
    if given.chunks is not None and given.into is None:
        raise UsageProblem(
            _("--chunks needs a variable to read the rows from."),
            hint=_("chunks = %%query_db --chunks 100000\nthen, in another cell: for chunk in chunks: …"),
        )
    together = [name for name in ("to", "from_", "chunks", "explain", "rollback") if getattr(given, name)]
    if len(together) > 1 or (given.rollback and (given.begin or given.commit)):
        other = together[1] if len(together) > 1 else "begin" if given.begin else "commit"
        one, other = together[0].strip("_"), other.strip("_")
        raise UsageProblem(
            _("--{one} and --{other} exclude each other.", one=one, other=other), hint=_("use one of them")
        )
    if given.chunks is not None and given.commit:
        raise UsageProblem(
            _("--chunks and --commit exclude each other."),
            why=_("The rows are read after the cell."),
            hint=_("use one of them; %query_db --commit ends the transaction in a later cell"),
        )


def _check_dask(given: argparse.Namespace) -> None:
    """Refuse --as dask without a column, or with an option that does not apply, and its options without it."""
    if given.as_ != "dask":
        for name in ("partition_on", "partitions"):
            if getattr(given, name) is not None:
                option = name.replace("_", "-")
                raise UsageProblem(
                    _("--{name} needs --as dask.", name=option),
                    hint="%query_db --as dask TABLE --partition-on COLUMN",  # not translated: a command
                )
        return
    if given.partition_on is None or (given.partitions or 1) < 1:
        raise UsageProblem(
            _("--as dask needs a column whose ranges are the partitions."),
            hint="%query_db --as dask TABLE --partition-on COLUMN",  # not translated: a command
        )
    for name in _NOT_WITH_DASK:
        if getattr(given, name):
            raise UsageProblem(
                _("--{name} does not work with --as dask.", name=name.strip("_")),
                hint=_("leave out one of them; Dask's own methods select and write rows"),
            )


_NOT_WITH_DASK = ("limit", "to", "from_", "chunks", "timeout", "begin", "commit", "rollback", "duckdb")


def _read_dask(given: argparse.Namespace, sql: str, variables: Mapping[str, Any]) -> Any:
    """Return a Dask DataFrame, and show what it means that nothing was read yet."""
    found = session.read_dask(
        sql,
        variables,
        partition_on=given.partition_on,
        partitions=given.partitions,
        numeric=given.numeric,
        db=given.open_database,
    )
    _warn(
        _n(
            "{count} partition by {column}, read when Dask computes.",
            "{count} partitions by {column}, read when Dask computes; changes in between may appear in some only.",
            found.npartitions,
            column=given.partition_on,
        )
    )
    return found


def _timeout(given: argparse.Namespace) -> float | None:
    return None if given.timeout is None else _parse_seconds(given.timeout)


_TIME = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)?")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, None: 1.0}


def _parse_seconds(words: str) -> float:
    found = _TIME.fullmatch(words)
    if found is None or float(found[1]) == 0:
        raise UsageProblem(_("--timeout takes a duration."), hint=_("--timeout 30s, or 5m, or 1h"))
    return float(found[1]) * _UNITS[found[2]]


def _find_dict(name: str, variables: Mapping[str, Any]) -> dict[str, Any]:
    values = variables.get(name)
    if not isinstance(values, dict):
        near = nearest(
            name, [each for each in variables if isinstance(variables[each], dict) and each[0] != "_"]
        )
        raise UsageProblem(
            _("--params takes the name of a dict, and {name!r} is not one.", name=name),
            hint=_("did you mean {near}?", near=near) if near else "",
        )
    return values


def _warn(words: str) -> None:
    display(Note(words))  # type: ignore[no-untyped-call]  # IPython's


_OPTION = re.compile(
    r"\s*--(?:into|limit|to|from|overwrite|chunks|as|numeric|timeout|params|explain|db|save|with|begin|commit|rollback)\b(?=\s|=|$)"
)  # any other text after -- is a comment of SQL
_DASK_OPTION = r"--(?:as|partition-on|partitions|numeric|db|into)(?:\s+|=)\S+"
_ON_DASK = re.compile(
    rf"\s*(?P<before>(?=.*--as(?:\s+|=)dask\b)(?:{_DASK_OPTION}\s+)+)(?P<sql>.*?)(?P<after>(?:\s+{_DASK_OPTION})*)\s*",
    re.DOTALL,
)  # on one line, options may follow the SQL of --as dask
_TRANSACTION = re.compile(r"(?:\s*--(?:begin|commit|rollback|db\s+\S+))+\s*")


def _require_sql(line: str) -> str:
    """Return the SQL of a line; refuse options, which the server would read as a comment."""
    if not line.strip():
        raise UsageProblem(
            _("There is no SQL on the line."), hint=_("df = %query_db SELECT 1\n%query_db?   shows its help")
        )
    if _OPTION.match(line):
        raise UsageProblem(
            _("%query_db takes only SQL; options need a cell that begins with %%query_db."),
            hint="df = %query_db SELECT …",
        )
    return line


@without_frames
def _read_url(variable: str | None) -> Secret | None:
    if variable is None:
        return None
    value = os.environ.get(variable)
    if not value:
        # The message does not repeat the word, which may be the URL itself.
        raise CredentialsNotFound(
            _("The environment variable does not exist, or is empty."),
            hint=_(
                "set it before the kernel starts, as VAR=postgresql://USER:PASSWORD@HOST/DATABASE\n"
                "%connect_db NAME --user USER   asks for the password instead"
            ),
        )
    return Secret(value)
