"""How the rows of a query are displayed: pandas' own table, its dtypes under the names, and one line below.

What `%query_db` returns is a plain DataFrame, and every library takes it for one. Only IPython's display knows
the frames that came from a query, as long as they live, and adds what pandas leaves out. How many rows and
columns are displayed is pandas' business (``pd.options.display``); all rows are in the frame. A frame that
pandas or another library displays in its own way, such as itables', is left to that.
"""

from __future__ import annotations

import json
import re
import weakref
from html import escape
from typing import Any, cast

import pandas as pd
from IPython.core.interactiveshell import InteractiveShell

from sspcloud_magics.printable import printable

_FAINT = "color:var(--jp-ui-font-color2, #808080);font-weight:normal;font-size:90%"
_SECOND_ROW = re.compile(r"(<thead>\s*<tr.*?</tr>\s*)(<tr.*?</tr>)", re.DOTALL)

_seconds: dict[int, tuple[weakref.ref[pd.DataFrame], float]] = {}


def tell(shell: InteractiveShell, answer: object, seconds: float) -> None:
    """Have the answer to a query displayed as such, where it is a DataFrame."""
    if type(answer) is not pd.DataFrame:
        return
    key = id(answer)
    _seconds[key] = weakref.ref(answer, lambda _: _seconds.pop(key, None)), seconds
    formatters = cast("Any", shell.display_formatter).formatters
    formatters["text/html"].for_type(pd.DataFrame, html_of)
    formatters["text/plain"].for_type(pd.DataFrame, _print)


def unregister(shell: InteractiveShell) -> None:
    """Leave it to pandas again, where nobody else has taken it over."""
    formatters = cast("Any", shell.display_formatter).formatters
    for mime, ours in (("text/html", html_of), ("text/plain", _print)):
        if formatters[mime].type_printers.get(pd.DataFrame) is ours:
            formatters[mime].pop(pd.DataFrame)


def html_of(frame: pd.DataFrame) -> str | None:
    """Return a frame as HTML; None where pandas is told to give none."""
    if (plan := _plan(frame)) is not None:
        return printable(
            f'<div><pre>{escape(plan)}</pre><div style="{_FAINT}">{escape(_line(frame))}</div></div>'
        )
    shown = _add_types(frame)
    if shown is None:
        return _pandas_html(frame)
    with pd.option_context("display.multi_sparse", False, "display.show_dimensions", False):
        table = _pandas_html(shown)
    if table is None:
        return None
    table = table.replace("text-align: left", "text-align: right")  # as the values
    table = _SECOND_ROW.sub(
        lambda found: found[1] + found[2].replace("<th>", f'<th style="{_FAINT}">'), table, 1
    )
    return printable(f'<div>{table}<div style="{_FAINT}">{escape(_line(frame))}</div></div>')


def text_of(frame: pd.DataFrame) -> str:
    """Return a frame as text."""
    if (plan := _plan(frame)) is not None:
        return printable(f"{plan}\n{_line(frame)}")
    shown = _add_types(frame)
    if shown is None:
        return repr(frame)
    if frame.empty:
        columns = ", ".join(f"{name} {dtype}" for name, dtype in frame.dtypes.items())
        return printable(f"No rows. Columns: {columns}\n{_line(frame)}")
    with pd.option_context("display.multi_sparse", False, "display.show_dimensions", False):
        return printable(f"{shown!r}\n{_line(frame)}")


def _print(frame: pd.DataFrame, printer: Any, _cycle: bool) -> None:
    printer.text(text_of(frame))


def _pandas_html(frame: pd.DataFrame) -> str | None:
    html: str | None = frame._repr_html_()  # type: ignore[operator]
    return html


def _plan(frame: pd.DataFrame) -> str | None:
    """Return what EXPLAIN has answered, whole: pandas would cut its lines and leave some out; None where it is another frame."""
    if list(frame.columns) != ["QUERY PLAN"] or _add_types(frame) is None:
        return None
    return "\n".join(
        value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
        for value in frame["QUERY PLAN"]
    )


def _add_types(frame: pd.DataFrame) -> pd.DataFrame | None:
    """Return an answer with the dtypes as a second row of its head; None where it is another frame."""
    found = _seconds.get(id(frame))
    if found is None or found[0]() is not frame or type(frame) is not pd.DataFrame:
        return None
    displayed_by = getattr(type(frame)._repr_html_, "__module__", "")  # type: ignore[attr-defined]
    if not displayed_by.startswith("pandas.") or frame.columns.nlevels > 1 or frame.shape[1] == 0:
        return None
    return frame.set_axis(
        pd.MultiIndex.from_arrays([frame.columns, frame.dtypes.astype(str)]), axis="columns"
    )


def _line(frame: pd.DataFrame) -> str:
    rows, columns = frame.shape
    shape = f"{rows:,} row{'' if rows == 1 else 's'} × {columns} column{'' if columns == 1 else 's'}"  # noqa: RUF001 - as pandas writes it
    return f"{shape} · fetched in {_seconds[id(frame)][1]:.2f} s"
