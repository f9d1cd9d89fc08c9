"""``%tables``, ``%describe_table``, ``%load_table``: list, describe and load tables."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from IPython.core.magic import Magics, line_magic, magics_class, needs_local_scope

from sspcloud_magics import session
from sspcloud_magics.errors import UsageProblem
from sspcloud_magics.i18n import N_, _, _n
from sspcloud_magics.magics.arguments import argument, arguments, magic_arguments, visible_variables
from sspcloud_magics.magics.display import Note
from sspcloud_magics.magics.progress import show_progress
from sspcloud_magics.spelling import nearest

_db = argument(
    "--db", dest="open_database", metavar="NAME", help=N_("use this connected database, not the latest")
)


@magics_class
class TableMagics(Magics):
    """The magics for tables."""

    @magic_arguments()
    @argument(
        "pattern_of_tables",
        nargs="?",
        metavar="PATTERN",
        help=N_("a pattern of names, such as communes* or public.*"),
    )
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
    @argument("table", metavar="TABLE", help=N_("its name in SQL: table or schema.table"))
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
                _("Name a table to describe."), hint=_("%describe_table communes\n%tables   lists the tables")
            )
        given = arguments(self, "describe_table", line)
        return session.describe_table(_pick_word(line, 0), db=given.open_database)

    @needs_local_scope
    @magic_arguments()
    @argument("frame", metavar="DATAFRAME", help=N_("the variable with the rows"))
    @argument("table", metavar="TABLE", help=N_("its name in SQL: table or schema.table"))
    @argument("--append", action="store_true", help=N_("add to an existing table"))
    @argument("--replace", action="store_true", help=N_("drop an existing table, and create it again"))
    @_db
    @line_magic
    def load_table(self, line: str, local_ns: Mapping[str, Any] | None = None) -> Any:
        """Write a DataFrame, or a Parquet or CSV file, into a table of the connected database: all of its rows, or none.

        Examples::

            %load_table df public.results
            %load_table df public.results --append
            %load_table s3://bucket/results.parquet public.results

        The same in Python: ``ssp.load_table(df, "public.results")``.
        """
        given = arguments(self, "load_table", line)
        if given.append and given.replace:
            raise UsageProblem(_("--append and --replace exclude each other."), hint=_("use one of them"))
        variables = visible_variables(self, local_ns)
        is_file = given.frame.lower().endswith((".parquet", ".csv"))
        if not is_file and given.frame not in variables:
            near = nearest(given.frame, [each for each in variables if not each.startswith("_")])
            raise UsageProblem(
                _("There is no variable {frame!r}.", frame=given.frame),
                hint=_("did you mean {near}?", near=near) if near else _("%load_table df schema.table"),
            )
        mode: Literal["new", "append", "replace"] = (
            "append" if given.append else "replace" if given.replace else "new"
        )
        table = _pick_word(line, 1)
        with show_progress() as progress:
            rows = session.load_table(
                given.frame if is_file else variables[given.frame],
                table,
                mode,
                db=given.open_database,
                progress=progress,
            )
        return Note(
            _n("{count} row written into {table}.", "{count} rows written into {table}.", rows, table=table)
        )


_WORDS = re.compile(r'(?:"(?:[^"]|"")*"|[^\s"])+')


def _pick_word(line: str, place: int) -> str:
    """Return a positional word of a line with its double quotes, which argparse's split removes."""
    words = iter(_WORDS.findall(line))
    plain = []
    for word in words:
        if word == "--db":
            next(words)
        elif not word.startswith("--"):
            plain.append(word)
    return str(plain[place])
