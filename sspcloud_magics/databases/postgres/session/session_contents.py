"""Session state that is lost when a session ends, such as temporary tables."""

from __future__ import annotations

from collections.abc import Iterable

from sspcloud_magics.databases.postgres.sql_lexer import Statement
from sspcloud_magics.i18n import N_, _, format_list

_TEMPORARY = frozenset({"temp", "temporary"})
_LOCKS = ("pg_advisory_lock", "pg_try_advisory_lock")


def describe_held_after(statement: Statement) -> str | None:
    """Return the session state that a statement creates, in English; None if it creates none.

    Examples
    --------
    >>> from sspcloud_magics.databases.postgres.sql_lexer import statements
    >>> describe_held_after(statements("CREATE TEMP TABLE t (n int)")[0])
    'temporary tables'
    """
    words = statement.words
    first = words[0] if words else ""
    into = words.index("into") if "into" in words else len(words)
    made = words[1:5] if first == "create" else words[into : into + 3]
    found = None
    if not _TEMPORARY.isdisjoint(made):
        found = N_("temporary tables")
    elif first == "prepare" and words[1:2] != ("transaction",):
        found = N_("prepared statements")
    elif first == "declare" and "hold" in words:
        found = N_("cursors")
    elif first == "listen":
        found = N_("LISTEN registrations")
    elif any(word.startswith(_LOCKS) for word in words):
        found = N_("advisory locks")
    return found


def describe_lost(held: Iterable[str], *, unseen: bool, was_reported: bool) -> str:
    """Return the state that was lost with a session, as text.

    Parameters
    ----------
    held
        The results of `describe_held_after`.
    unseen
        Whether other libraries used the session, whose statements are unknown here.
    was_reported
        Whether an earlier error reported the end of the session, and its effect on a statement or a transaction.

    Examples
    --------
    >>> describe_lost([], unseen=False, was_reported=False)
    'nothing was lost'
    >>> describe_lost(["temporary tables", "cursors"], unseen=False, was_reported=False)
    'temporary tables and cursors are gone'
    """
    if listed := [_(each) for each in held]:
        return _("{contents} are gone", contents=format_list(listed))
    if unseen:
        return _("temporary tables and locks, if it had any, are gone")
    return _("nothing else was lost") if was_reported else _("nothing was lost")
