"""What a session holds that ends with it, so that the end of one can say whether anything was lost."""

from __future__ import annotations

from collections.abc import Iterable

from sspcloud_magics.databases.postgres.sql_lexer import Statement

_TEMPORARY = frozenset({"temp", "temporary"})
_LOCKS = ("pg_advisory_lock", "pg_try_advisory_lock")


def describe_held_after(statement: Statement) -> str | None:
    """Return what a statement leaves in the session, in words; None where that is nothing.

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
        found = "temporary tables"
    elif first == "prepare" and words[1:2] != ("transaction",):
        found = "prepared statements"
    elif first == "declare" and "hold" in words:
        found = "cursors"
    elif first == "listen":
        found = "what it listened to"
    elif any(word.startswith(_LOCKS) for word in words):
        found = "advisory locks"
    return found


def describe_lost(held: Iterable[str], *, unseen: bool, was_told: bool) -> str:
    """Return what was lost with a session, in words.

    Parameters
    ----------
    held
        What `describe_held_after` returned.
    unseen
        Whether other libraries used the session, too, whose statements are not known here.
    was_told
        Whether its end was told before, with what it did to a statement or a transaction.

    Examples
    --------
    >>> describe_lost([], unseen=False, was_told=False)
    'nothing was lost'
    >>> describe_lost(["temporary tables", "cursors"], unseen=False, was_told=False)
    'temporary tables and cursors are gone'
    """
    if listed := " and ".join(held):
        return f"{listed} are gone"
    if unseen:
        return "temporary tables and locks, if it had any, are gone"
    return "nothing else was lost" if was_told else "nothing was lost"
