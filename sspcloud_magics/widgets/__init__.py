"""The panel: an overview of the session and the cluster, with buttons for the most frequent commands.

It is a view of `sspcloud_magics.session` without state of its own: it shows what magics have opened, and
the next cell can use what its buttons open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sspcloud_magics import session

if TYPE_CHECKING:
    from sspcloud_magics.widgets.widget import Panel

__all__ = ["panel"]


def panel(*, language: str | None = None) -> Panel:
    """Return the panel, a widget for the output of a cell, as ``%sspcloud`` shows it.

    Parameters
    ----------
    language
        ``en`` or ``fr``, for the panel and for all messages of this process, as `language` chooses it.

    Returns
    -------
    Panel
        The only panel of this process. All its displays are live. It sends no requests to the cluster
        while no display is visible.

    Raises
    ------
    UsageProblem
        If there are no messages in the language, or this process was forked.

    Notes
    -----
    In an app of marimo, whose visitors would share one login, it ends the cell and shows the reason.

    Examples
    --------
    >>> import sspcloud_magics as ssp
    >>> ssp.panel()  # doctest: +SKIP
    """
    from sspcloud_magics.widgets.widget import get_panel  # noqa: PLC0415 - at first use

    if language is not None:
        session.language(language)
    return get_panel()
