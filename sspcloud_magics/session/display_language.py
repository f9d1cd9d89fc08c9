"""The language of messages and of the panel."""

from __future__ import annotations

from sspcloud_magics import i18n
from sspcloud_magics.errors import UsageProblem
from sspcloud_magics.i18n import _, format_list
from sspcloud_magics.i18n.language import LANGUAGES


def language(name: str | None = None) -> str:
    """Return the language of messages and of the panel, after choosing one if you name it.

    Without a choice, the language is JupyterLab's, the browser's, the locale's or the platform's, in this order. The same
    in a notebook: ``%config SSPCloud.language = "fr"``.

    Parameters
    ----------
    name
        ``en`` or ``fr``; empty to end an earlier choice.

    Returns
    -------
    str
        The language.

    Raises
    ------
    UsageProblem
        If there are no messages in the language.

    Examples
    --------
    >>> import sspcloud_magics as ssp
    >>> ssp.language("fr")  # doctest: +SKIP
    'fr'
    """
    if name is not None:
        if name and name not in LANGUAGES:
            raise UsageProblem(
                _("There are no messages in this language."),
                why=_("The languages are {languages}.", languages=format_list(list(LANGUAGES))),
                hint='ssp.language("fr")',
            )
        i18n.choose(i18n.Source.SETTING, name)
    return i18n.current()
