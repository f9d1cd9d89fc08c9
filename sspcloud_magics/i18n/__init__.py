"""Messages in the language of the reader: English in the source, French from a gettext catalogue.

Everything that a person reads is written as ``_("{database} is paused.", database=name)``. The text is translated when
the line runs, never at import, and the values are filled in afterwards. Each call holds a whole sentence, because other
languages order its parts differently. What a program reads stays English: columns of DataFrames, ``--json``, codes, the log.
"""

from __future__ import annotations

from sspcloud_magics.i18n.formats import (
    format_bytes,
    format_date,
    format_datetime,
    format_duration,
    format_list,
    format_number,
    format_seconds,
)
from sspcloud_magics.i18n.language import Source, choose, current, get_choice, in_language, on_change
from sspcloud_magics.i18n.messages import N_, _, _n, quote_words

__all__ = [
    "N_",
    "Source",
    "_",
    "_n",
    "choose",
    "current",
    "format_bytes",
    "format_date",
    "format_datetime",
    "format_duration",
    "format_list",
    "format_number",
    "format_seconds",
    "get_choice",
    "in_language",
    "on_change",
    "quote_words",
]
