"""Display of query results: pandas' own table, the dtypes below the column names, and a line with the shape.

`%query_db` returns a plain DataFrame, so that every library accepts it. Only IPython's display recognizes the frames of
queries, while they live, and adds what pandas omits. pandas decides how many rows and columns to display
(``pd.options.display``); the frame has all rows. Frames that another library displays, such as itables, are left to it.
"""

from __future__ import annotations

import json
import re
import weakref
from html import escape
from typing import Any, cast

import pandas as pd
from IPython.core.interactiveshell import InteractiveShell

from sspcloud_magics.i18n import _, _n, format_seconds
from sspcloud_magics.printable import printable

_FAINT = "color:var(--jp-ui-font-color2, #808080);font-weight:normal;font-size:90%"
_SECOND_ROW = re.compile(r"(<thead>\s*<tr.*?</tr>\s*)(<tr.*?</tr>)", re.DOTALL)

_seconds: dict[int, tuple[weakref.ref[pd.DataFrame], float]] = {}
"""The living frames of queries by their `id`, each with the seconds that its query took."""


def register(shell: InteractiveShell, result: object, seconds: float) -> None:
    """Register the result of a query for this display, if it is a DataFrame."""
    if type(result) is not pd.DataFrame:
        return
    key = id(result)
    _seconds[key] = weakref.ref(result, lambda _unused: _seconds.pop(key, None)), seconds
    formatters = cast("Any", shell.display_formatter).formatters
    formatters["text/html"].for_type(pd.DataFrame, render_html)
    formatters["text/plain"].for_type(pd.DataFrame, _print_text)


def unregister(shell: InteractiveShell) -> None:
    """Restore pandas' display, unless another library has replaced this one."""
    formatters = cast("Any", shell.display_formatter).formatters
    for mime, ours in (("text/html", render_html), ("text/plain", _print_text)):
        if formatters[mime].type_printers.get(pd.DataFrame) is ours:
            formatters[mime].pop(pd.DataFrame)


def render_html(frame: pd.DataFrame) -> str | None:
    """Render a frame as HTML; None if pandas' options disable HTML."""
    if (plan := _find_plan(frame)) is not None:
        return printable(
            f'<div><pre>{escape(plan)}</pre><div style="{_FAINT}">{escape(_describe_shape(frame))}</div></div>'
        )
    shown = _add_types(frame)
    if shown is None:
        return _pandas_html(frame)
    with pd.option_context("display.multi_sparse", False, "display.show_dimensions", False):
        table = _pandas_html(shown)
    if table is None:
        return None
    table = table.replace("text-align: left", "text-align: right")  # like the values
    table = _SECOND_ROW.sub(
        lambda found: found[1] + found[2].replace("<th>", f'<th style="{_FAINT}">'), table, 1
    )
    return printable(f'<div>{table}<div style="{_FAINT}">{escape(_describe_shape(frame))}</div></div>')


def render_text(frame: pd.DataFrame) -> str:
    """Render a frame as text."""
    if (plan := _find_plan(frame)) is not None:
        return printable(f"{plan}\n{_describe_shape(frame)}")
    shown = _add_types(frame)
    if shown is None:
        return repr(frame)
    if frame.empty:
        columns = ", ".join(f"{name} {dtype}" for name, dtype in frame.dtypes.items())
        nothing = _("No rows. Columns: {columns}", columns=columns)
        return printable(f"{nothing}\n{_describe_shape(frame)}")
    with pd.option_context("display.multi_sparse", False, "display.show_dimensions", False):
        return printable(f"{shown!r}\n{_describe_shape(frame)}")


def _print_text(frame: pd.DataFrame, printer: Any, _cycle: bool) -> None:
    printer.text(render_text(frame))


def _pandas_html(frame: pd.DataFrame) -> str | None:
    html: str | None = frame._repr_html_()  # type: ignore[operator]
    return html


def _find_plan(frame: pd.DataFrame) -> str | None:
    """Return the complete output of EXPLAIN, which pandas would truncate; None for any other frame."""
    if list(frame.columns) != ["QUERY PLAN"] or _add_types(frame) is None:
        return None
    return "\n".join(
        value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
        for value in frame["QUERY PLAN"]
    )


def _add_types(frame: pd.DataFrame) -> pd.DataFrame | None:
    """Add the dtypes of a query's frame as a second header row; None for a frame that pandas must display unchanged."""
    found = _seconds.get(id(frame))
    if found is None or found[0]() is not frame or type(frame) is not pd.DataFrame:
        return None
    displayed_by = getattr(type(frame)._repr_html_, "__module__", "")  # type: ignore[attr-defined]
    if not displayed_by.startswith("pandas.") or frame.columns.nlevels > 1 or frame.shape[1] == 0:
        return None
    return frame.set_axis(
        pd.MultiIndex.from_arrays([frame.columns, frame.dtypes.astype(str)]), axis="columns"
    )


def _describe_shape(frame: pd.DataFrame) -> str:
    rows, columns = frame.shape
    return _(
        "{rows} × {columns} · fetched in {time}",  # noqa: RUF001 - as pandas writes it
        rows=_n("{count} row", "{count} rows", rows),
        columns=_n("{count} column", "{count} columns", columns),
        time=format_seconds(_seconds[id(frame)][1]),
    )
