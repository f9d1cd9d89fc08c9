"""The language of this process: which sources can choose it, and which of them counts.

The first source that names a language counts: the setting, ``SSPCLOUD_LANGUAGE``, JupyterLab's own choice, the browser, the
locale, the platform. A language without a catalogue counts as English: its reader did not ask for French.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import IntEnum

from sspcloud_magics import platforms

LANGUAGES = ("en", "fr")
"""The languages with a catalogue; English is the source."""

VARIABLE = "SSPCLOUD_LANGUAGE"
_LOCALE_VARIABLES = ("LC_ALL", "LC_MESSAGES", "LANG")
# Images set these locales, next to the reader's own LANG, and no user chose them.
_NO_CHOICE = re.compile(r"(c|posix|en_us)([.@].*)?", re.IGNORECASE)
_CODE = re.compile(r"([a-z]{2,3})([-_.@].*)?", re.IGNORECASE)
# The images of the platform name the service's namespace here.
_SERVICE_VARIABLE = "KUBERNETES_NAMESPACE"


class Source(IntEnum):
    """A source of the language; a lower number counts first."""

    SETTING = 1
    ENVIRONMENT = 2
    JUPYTERLAB = 3
    BROWSER = 4
    LOCALE = 5
    PLATFORM = 6


# The language that each source named last; the environment is read once, when it is first asked for.
_chosen: dict[Source, str] = {}
# The result of `_chosen`, or None until it is first asked for and after each change.
_current: str | None = None
# Functions to call with the new language after a change; they are added when the extension loads.
_listeners: list[Callable[[str], None]] = []
_lock = threading.RLock()


def _replace_lock() -> None:
    global _lock  # noqa: PLW0603 - of the process
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    # A thread of the parent may hold it while the process forks.
    os.register_at_fork(after_in_child=_replace_lock)
# The language of a thread inside `in_language`.
_fixed = threading.local()


def parse(text: str) -> str:
    """Return the language of a tag or a locale, empty if the text names none.

    Examples
    --------
    >>> [parse(text) for text in ("fr-FR", "fr_FR.UTF-8", "de", "", "1")]
    ['fr', 'fr', 'en', '', '']
    """
    found = _CODE.fullmatch(text.strip())
    if not found:
        return ""
    code = found[1].lower()
    return code if code in LANGUAGES else "en"


def from_environment(environment: Mapping[str, str]) -> dict[Source, str]:
    """Return the languages that environment variables choose.

    Examples
    --------
    >>> from_environment({"LC_ALL": "en_US.UTF-8", "KUBERNETES_NAMESPACE": "user-alice"})
    {<Source.PLATFORM: 6>: 'fr'}
    >>> from_environment({"KUBERNETES_NAMESPACE": "user-alice", "VAULT_ADDR": "https://vault.example.org"})
    {}
    >>> from_environment({"LANG": "fr_FR.UTF-8"})
    {<Source.LOCALE: 5>: 'fr'}
    """
    found = {Source.ENVIRONMENT: parse(environment.get(VARIABLE, ""))}
    # As in the C library, the first variable decides, here the first that chooses.
    values = (environment.get(name, "") for name in _LOCALE_VARIABLES)
    found[Source.LOCALE] = parse(
        next((value for value in values if value and not _NO_CHOICE.fullmatch(value)), "")
    )
    if environment.get(_SERVICE_VARIABLE):
        found[Source.PLATFORM] = platforms.detect("", environment).language
    return {source: code for source, code in found.items() if code}


def current() -> str:
    """Return the language of this process, one of `LANGUAGES`."""
    global _current  # noqa: PLW0603 - the language is one for the process
    if (fixed := getattr(_fixed, "language", None)) is not None:
        return str(fixed)
    if _current is None:
        with _lock:
            chosen = from_environment(os.environ) | _chosen
            _current = chosen[min(chosen)] if chosen else "en"
    return _current


@contextmanager
def in_language(language: str) -> Iterator[None]:
    """Use one of `LANGUAGES` for the messages of this thread inside the block, whichever is chosen.

    Examples
    --------
    >>> with in_language("fr"):
    ...     current()
    'fr'
    """
    _fixed.language = language
    try:
        yield
    finally:
        del _fixed.language


def get_choice(source: Source) -> str:
    """Return the language that a source has chosen by `choose`; empty without a choice."""
    return _chosen.get(source, "")


def choose(source: Source, language: str) -> None:
    """Set or clear the language that a source chooses, and call the listeners if the current one changes.

    Parameters
    ----------
    language
        A language, as a tag (``fr-FR``) or a locale; empty if the source no longer chooses one.
    """
    global _current  # noqa: PLW0603 - the language is one for the process
    with _lock:
        before = current()
        if code := parse(language):
            _chosen[source] = code
        else:
            _chosen.pop(source, None)
        _current = None
        after = current()
        listeners = list(_listeners) if after != before else []
    for listener in listeners:
        listener(after)


def on_change(listener: Callable[[str], None]) -> Callable[[], None]:
    """Call a function with the new language after each change; return a function that ends this."""
    with _lock:
        _listeners.append(listener)

    def remove() -> None:
        with _lock:
            if listener in _listeners:
                _listeners.remove(listener)

    return remove
