"""The tables of a database in the notebook: list them, look at one, and make one of a DataFrame."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from IPython.core.magic import Magics, line_magic, magics_class, needs_local_scope

from sspcloud_magics import session
from sspcloud_magics.errors import UsageProblem
from sspcloud_magics.magics.arguments import argument, arguments, magic_arguments, visible_variables
from sspcloud_magics.magics.display import Note
from sspcloud_magics.magics.progress import show_progress
from sspcloud_magics.spelling import nearest

if TYPE_CHECKING:
    pass

_db = argument(
    "--db", dest="open_database", metavar="NAME", help="in this connected database, not the latest"
)


@magics_class
class TableMagics(Magics):
    """The magics for tables."""

    @magic_arguments()
    @argument("pattern_of_tables", nargs="?", metavar="PATTERN", help="names such as communes*, or public.*")
    @_db
    @line_magic
    def tables(self, line: str) -> Any:
        """List the tables and views of the connected database that you may read.

        Examples::

            %tables
            %tables public.*

        The same in Python: ``ssp.tables("public.*")``.
        """
        given = arguments(self, "tables", line)
        return session.tables(given.pattern_of_tables, db=given.open_database)

    @magic_arguments()
    @argument("table", metavar="TABLE", help="as SQL writes it: table or schema.table")
    @_db
    @line_magic
    def describe_table(self, line: str) -> Any:
        """Show a table's columns, indexes, size, comment, and five rows.

        Examples::

            %describe_table communes
            %describe_table public."With Blank"

        The same in Python: ``ssp.describe_table("communes")``.
        """
        if not line.strip():
            raise UsageProblem(
                "Which table?", hint="%describe_table communes\n%tables lists those that there are"
            )
        given = arguments(self, "describe_table", line)
        return session.describe_table(_as_sql_writes_it(line, 0), db=given.open_database)

    @needs_local_scope
    @magic_arguments()
    @argument("frame", metavar="DATAFRAME", help="the variable that holds the rows")
    @argument("table", metavar="TABLE", help="as SQL writes it: table or schema.table")
    @argument("--append", action="store_true", help="add to a table that is there")
    @argument("--replace", action="store_true", help="drop a table that is there, and make it anew")
    @_db
    @line_magic
    def load_table(self, line: str, local_ns: Mapping[str, Any] | None = None) -> Any:
        """Write a DataFrame into a table of the connected database: all of its rows, or nothing.

        Examples::

            %load_table df public.results
            %load_table df public.results --append

        The same in Python: ``ssp.load_table(df, "public.results")``.
        """
        given = arguments(self, "load_table", line)
        if given.append and given.replace:
            raise UsageProblem("--append and --replace exclude each other.")
        variables = visible_variables(self, local_ns)
        if given.frame not in variables:
            near = nearest(given.frame, [each for each in variables if not each.startswith("_")])
            raise UsageProblem(
                f"No variable is named {given.frame!r} here.",
                hint=f"did you mean {near}?" if near else "%load_table df schema.table",
            )
        mode: Literal["new", "append", "replace"] = (
            "append" if given.append else "replace" if given.replace else "new"
        )
        table = _as_sql_writes_it(line, 1)
        with show_progress() as progress:
            rows = session.load_table(
                variables[given.frame], table, mode, db=given.open_database, progress=progress
            )
        return Note(f"{rows:,} row{'' if rows == 1 else 's'} written into {table}.")


_WORDS = re.compile(r'(?:"(?:[^"]|"")*"|[^\s"])+')


def _as_sql_writes_it(line: str, place: int) -> str:
    """Return a word of a line that is no option, with the double quotes that a parser of lines takes away."""
    words = iter(_WORDS.findall(line))
    plain = []
    for word in words:
        if word == "--db":
            next(words)
        elif not word.startswith("--"):
            plain.append(word)
    return str(plain[place])
