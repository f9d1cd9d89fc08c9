"""The panel: an overview of the session and the cluster, with buttons for the most frequent commands.

It is a view of `sspcloud_magics.session` without state of its own: it shows what magics have opened, and
the next cell can use what its buttons open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sspcloud_magics.errors import UsageProblem

if TYPE_CHECKING:
    from sspcloud_magics.widgets.widget import Panel

__all__ = ["panel"]


def panel(*, language: str | None = None) -> Panel:
    """Return the panel, a widget for the output of a cell, as ``%sspcloud`` shows it.

    Parameters
    ----------
    language
        ``en`` or ``fr``; if None, the language of JupyterLab, then of the kernel, then of the browser.

    Returns
    -------
    Panel
        The only panel of this process. All its displays are live. It sends no requests to the cluster
        while no display is visible.

    Raises
    ------
    UsageProblem
        If the language is not supported, or this process was forked.

    Examples
    --------
    >>> import sspcloud_magics as ssp
    >>> ssp.panel()  # doctest: +SKIP
    """
    from sspcloud_magics.widgets.widget import LANGUAGES, get_panel  # noqa: PLC0415 - at first use

    if language is not None and language not in LANGUAGES:
        raise UsageProblem("The panel is available in English and French.", hint="%sspcloud --language fr")
    return get_panel(language)
