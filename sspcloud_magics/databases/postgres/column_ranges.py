"""Division of a table or a query into ranges of a column, of about one size, so that each row is in exactly one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

from sspcloud_magics.databases.postgres.session import search_path
from sspcloud_magics.errors import UsageProblem
from sspcloud_magics.i18n import _

if TYPE_CHECKING:
    import pandas as pd

    from sspcloud_magics.databases.postgres.session.connection import DatabaseConnection


@dataclass(frozen=True, slots=True)
class Range:
    """The rows of a partition: ``low <= column < high``, as PostgreSQL's text."""

    # The bounds; None for no bound.
    low: str | None = None
    high: str | None = None
    # Whether rows with NULL belong to it, next to those of the range; alone if `only_nulls`.
    nulls: bool = False
    only_nulls: bool = False  # whether it has only the rows with NULL

    def condition(self, key: str) -> tuple[str, dict[str, str]]:
        """Return the condition on a quoted column, and the values of its parameters."""
        if self.only_nulls:
            return f"{key} IS NULL", {}
        values = {"sspcloud_low": self.low, "sspcloud_high": self.high}
        parts = [
            f"{key} {sign} :{name}"
            for (name, value), sign in zip(values.items(), (">=", "<"), strict=True)
            if value is not None
        ]
        condition = " AND ".join(parts) or "TRUE"
        condition = f"({condition} OR {key} IS NULL)" if self.nulls and parts else condition
        return condition, {name: value for name, value in values.items() if value is not None}


def find_ranges(
    connected: DatabaseConnection,
    run: Callable[..., pd.DataFrame],
    select: str,
    *,
    table: str | None,
    column: str,
    kind: int,
    partitions: int,
) -> list[Range]:
    """Return ranges of about one size: by the planner's statistics of a table, else by the query's own values.

    Parameters
    ----------
    run
        Runs a query on it with the parameters of `select`, and those that are given.
    select, table
        The query, and the table's name if it has only that.
    column, kind
        The column, and the OID of its type.
    partitions
        The number of ranges; there may be fewer, and one more for NULL.

    Raises
    ------
    UsageProblem
        If the column is an array, whose values no parameter can be.
    """
    if run(_IS_ARRAY, kind=kind)["is_array"][0]:
        raise UsageProblem(
            _("The column {column!r} is an array, and cannot divide the rows.", column=column),
            hint=_("use a column of numbers, texts or dates"),
        )
    if partitions <= 1:
        return [Range(nulls=True)]
    found = None
    if table is not None:
        # The name means what it means to the user; the statistics are read with a pinned path.
        oid = run("SELECT pg_catalog.to_regclass(:tbl)::pg_catalog.oid AS oid", tbl=table)["oid"][0]
        with search_path.pin_search_path(connected.ready()[0]):
            name = run("SELECT format_type(:kind::oid, NULL) AS name", kind=kind)["name"][0]
            found = run(_STATISTICS.format(kind=name), oid=oid, col=column, parts=partitions)
    if found is None or found.empty:
        fractions = [place / partitions for place in range(1, partitions)]
        found = run(
            _PERCENTILES.format(key=quote_column(column), select=select), sspcloud_fractions=fractions
        )
    bounds = list(dict.fromkeys(found["bound"].dropna()))
    if not bounds:
        return [Range(nulls=True)]
    has_nulls = bool(found["nulls"].any())
    edges: Sequence[str | None] = [None, *bounds, None]
    ranges = [Range(low, high) for low, high in pairwise(edges)]
    ranges[-1] = replace(ranges[-1], nulls=not has_nulls)
    return [*ranges, Range(only_nulls=True)] if has_nulls else ranges


_STATISTICS = """
WITH found AS (
    SELECT s.null_frac, s.most_common_vals::text::{kind}[] AS common, s.most_common_freqs AS freqs,
           s.histogram_bounds::text::{kind}[] AS bounds,
           1 - s.null_frac - coalesce((SELECT sum(f) FROM unnest(s.most_common_freqs) AS f), 0) AS rest
    FROM pg_stats AS s JOIN pg_class AS c ON c.relname = s.tablename
    JOIN pg_namespace AS n ON n.oid = c.relnamespace AND n.nspname = s.schemaname
    WHERE c.oid = :oid::oid AND s.attname = :col ORDER BY s.inherited DESC LIMIT 1
), points AS (
    SELECT v.value, v.weight FROM found, unnest(common, freqs) AS v(value, weight)
    UNION ALL
    SELECT h.value, greatest(rest, 0) / greatest(cardinality(bounds) - 1, 1) FROM found, unnest(bounds) AS h(value)
), placed AS (
    SELECT value, sum(weight) OVER (ORDER BY value) - weight AS before, sum(weight) OVER () AS total FROM points
), numbered AS (
    SELECT value, least(floor(before * :parts / nullif(total, 0)), :parts - 1) AS place FROM placed
)
SELECT DISTINCT ON (place) value::text AS bound, (SELECT null_frac > 0 FROM found) AS nulls
FROM numbered WHERE place > 0 ORDER BY place, value
"""
"""The first value of each part of a table, by the most common values and the histogram, without reading the table."""

_PERCENTILES = """
SELECT unnest(bounds)::text AS bound, nulls FROM (
    SELECT percentile_disc(:sspcloud_fractions::float8[]) WITHIN GROUP (ORDER BY {key}) AS bounds,
           count(*) > count({key}) AS nulls FROM ({select}
) AS q) AS parts
"""
"""The same for a query, whose values of that column the server reads and sorts once."""


def quote_column(column: str) -> str:
    """Quote a column of the query `q`."""
    return 'q."' + column.replace('"', '""') + '"'


_IS_ARRAY = """
SELECT typcategory OPERATOR(pg_catalog.=) 'A'::pg_catalog."char" AS is_array FROM pg_catalog.pg_type
WHERE oid OPERATOR(pg_catalog.=) :kind::pg_catalog.oid
"""
