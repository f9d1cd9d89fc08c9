"""Whether a statement may call functions that are not PostgreSQL's own.

Even to plan a statement runs functions: the planner computes constants, and asks operators about its statistics. So ``EXPLAIN`` calls what the user
meant to be called once, or not at all. A statement is asked about beforehand where it names such a function, or a relation, type or operator that
leads to one: by the query of a view, a policy, an expression of an index, a constraint, a default, a cast.

Names are looked for in all schemas. What a function does inside is not followed, since it has been found then.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterable

from sspcloud_magics.databases.postgres.sql_lexer import Kind, Statement, tokens

_FIRST = 16384
"""PostgreSQL's FirstNormalObjectId: all that a new database holds has a lower number."""

_OPERATOR = re.compile(r"[-+*/<>=~!@#%^&|`?]+")
# What IN, BETWEEN, LIKE, USING and the like stand for.
_IMPLIED = ("=", "<>", "<", ">", "<=", ">=", "~~", "!~~", "~~*", "!~~*", "~", "!~")

_ASCII_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)

# What may lead to a function. A trigger does not: no query runs one.
_FOLLOWED = (
    "class",
    "type",
    "proc",
    "operator",
    "rewrite",
    "policy",
    "constraint",
    "attrdef",
    "statistic_ext",
)
_CLASSES = {name: f"'pg_catalog.pg_{name}'::pg_catalog.regclass::pg_catalog.oid" for name in _FOLLOWED}

# With its names and operators qualified, since it runs with the user's search path.
_CHECK = """
WITH RECURSIVE needed(classid, objid) AS (
    SELECT {class}, oid FROM pg_catalog.pg_class WHERE oid {own} AND relname {eq} ANY ($1::pg_catalog.name[])
    UNION SELECT {type}, oid FROM pg_catalog.pg_type WHERE oid {own} AND typname {eq} ANY ($1::pg_catalog.name[])
    UNION SELECT {proc}, oid FROM pg_catalog.pg_proc WHERE oid {own} AND proname {eq} ANY ($1::pg_catalog.name[])
    UNION SELECT {proc}, oprcode::pg_catalog.oid FROM pg_catalog.pg_operator
    WHERE oid {own} AND oprname {eq} ANY ($2::pg_catalog.name[]) AND NOT (oprleft {own} OR oprright {own})
    UNION SELECT {proc}, castfunc FROM pg_catalog.pg_cast
    WHERE castfunc {own} AND NOT (castsource {own} OR casttarget {own})
    UNION SELECT more.classid, more.objid FROM needed CROSS JOIN LATERAL (
        SELECT refclassid, refobjid FROM pg_catalog.pg_depend d
        WHERE d.classid {eq} needed.classid AND d.objid {eq} needed.objid
        UNION ALL SELECT d.classid, d.objid FROM pg_catalog.pg_depend d
        WHERE d.refclassid {eq} needed.classid AND d.refobjid {eq} needed.objid
          AND d.deptype {eq} ANY ('{{a,i}}'::pg_catalog."char"[])
        UNION ALL SELECT {class}, inhrelid FROM pg_catalog.pg_inherits
        WHERE needed.classid {eq} {class} AND inhparent {eq} needed.objid
        UNION ALL SELECT {proc}, oprcode::pg_catalog.oid FROM pg_catalog.pg_operator
        WHERE needed.classid {eq} {type} AND oprname {eq} ANY ($2::pg_catalog.name[])
          AND (oprleft {eq} needed.objid OR oprright {eq} needed.objid)
        UNION ALL SELECT {proc}, castfunc FROM pg_catalog.pg_cast
        WHERE needed.classid {eq} {type} AND (castsource {eq} needed.objid OR casttarget {eq} needed.objid)
    ) AS more(classid, objid)
    WHERE more.classid {eq} ANY (ARRAY[{followed}])
)
SELECT EXISTS (SELECT FROM needed WHERE classid {eq} {proc} AND objid {own})
"""
CHECK = _CHECK.format(
    eq="OPERATOR(pg_catalog.=)",
    own=f"OPERATOR(pg_catalog.>=) {_FIRST}::pg_catalog.oid",
    followed=", ".join(_CLASSES.values()),
    **_CLASSES,
).encode()
"""Whether names (``$1``) and operators (``$2``) lead to a function that is not PostgreSQL's own."""


def list_named(statement: Statement) -> list[bytes]:
    """Return the parameters of `CHECK`: the names and the operators that a statement may mean, as arrays."""
    names: dict[str, None] = {}
    symbols: list[str] = []
    for token in tokens(statement.sql):
        text = statement.sql[token.start : token.end]
        if token.kind is Kind.WORD:
            # Whether PostgreSQL folds letters beyond ASCII depends on the database's encoding.
            names[text.lower()] = names[text.translate(_ASCII_LOWER)] = None
        elif token.kind is Kind.QUOTED and text.endswith('"'):
            names[text[text.index('"') + 1 : -1].replace('""', '"')] = None
        symbols.append(text if token.kind is Kind.SYMBOL else " ")
    runs = _OPERATOR.findall("".join(symbols))
    # A sign may belong to what follows: all parts are looked for.
    parts = {
        run[start:end] for run in runs for start in range(len(run)) for end in range(start + 1, len(run) + 1)
    }
    return [_array(names), _array(parts.union(_IMPLIED))]


def _array(texts: Iterable[str]) -> bytes:
    quoted = (text.replace("\\", r"\\").replace('"', r"\"") for text in texts)
    return ("{" + ",".join(f'"{text}"' for text in quoted) + "}").encode()
