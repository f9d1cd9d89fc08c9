"""The panel: the session and the cluster at a glance, and the buttons for what one does most.

It is a view of `sspcloud_magics.session` and holds no state of its own: what a magic opens is seen in it, and
what it opens is there for the next cell.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sspcloud_magics.errors import UsageProblem

if TYPE_CHECKING:
    from sspcloud_magics.widgets.widget import Panel

__all__ = ["panel"]


def panel(*, language: str | None = None) -> Panel:
    """Return the panel, a widget for the output of a cell; ``%sspcloud`` shows the same.

    Parameters
    ----------
    language
        ``en`` or ``fr``; where it is None, that of JupyterLab, then of the kernel, then of the browser.

    Returns
    -------
    Panel
        The one panel of this process. It is live wherever it is displayed, and asks the cluster nothing
        while nobody sees it.

    Raises
    ------
    UsageProblem
        If it does not speak that language, or this process was forked.

    Examples
    --------
    >>> import sspcloud_magics as ssp
    >>> ssp.panel()  # doctest: +SKIP
    """
    from sspcloud_magics.widgets.widget import LANGUAGES, the_panel  # noqa: PLC0415 - at first use

    if language is not None and language not in LANGUAGES:
        raise UsageProblem("The panel speaks English and French.", hint="%sspcloud --language fr")
    return the_panel(language)
