"""Translate messages by gettext, and fill in their values."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from sspcloud_magics.i18n.formats import format_number
from sspcloud_magics.i18n.language import current

if TYPE_CHECKING:
    from gettext import NullTranslations

DOMAIN = "sspcloud_magics"


def N_(message: str) -> str:  # noqa: N802 - gettext's usual name
    """Mark a constant for the catalogue, and return it unchanged; translate it with `_` where it is displayed."""
    return message


def _(message: str, /, **values: object) -> str:
    """Return a message in the current language.

    Parameters
    ----------
    message
        The English text, a whole sentence, with the names of values in braces. Without values, braces are plain text.
    **values
        The values by name.

    Examples
    --------
    >>> _("{database} is paused.", database="postgresql-1")
    'postgresql-1 is paused.'
    """
    language = current()
    text = message if language == "en" else _catalogue(language).gettext(message)
    return text.format(**values) if values else text


def _n(singular: str, plural: str, count: int, /, **values: object) -> str:
    """Return the singular or the plural of a message in the current language.

    Parameters
    ----------
    singular, plural
        The English texts; ``{count}`` is the number, with the separators of the language.
    count
        The number that decides.
    **values
        Further values by name.

    Examples
    --------
    >>> [_n("{count} row", "{count} rows", count) for count in (1, 101796)]
    ['1 row', '101,796 rows']
    """
    language = current()
    if language == "en":
        text = singular if count == 1 else plural
    else:
        text = _catalogue(language).ngettext(singular, plural, count)
    return text.format(**{"count": format_number(count)} | values)


def quote_words(words: str) -> str:
    """Return words of a server or a library; in quotation marks where the sentences around them are not English."""
    return words if not words or current() == "en" else _("“{words}”", words=words)


@functools.cache
def _catalogue(language: str) -> NullTranslations:
    # Imported late: a reader of English needs no catalogue.
    import gettext  # noqa: PLC0415
    from pathlib import Path  # noqa: PLC0415

    folder = Path(__file__).parents[1] / "locale"
    return gettext.translation(DOMAIN, folder, [language], fallback=True)
