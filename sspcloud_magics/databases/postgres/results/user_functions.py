"""Detection of statements that may call user-defined functions.

Even planning a statement runs functions: the planner evaluates constants, and calls operators on its statistics. So an
extra ``EXPLAIN`` could call functions that the user meant to call once, or not at all. This check finds statements that
name a user-defined function, or a relation, type or operator that leads to one: through the query of a view, a policy,
an expression of an index, a constraint, a default or a cast.

Names are looked up in all schemas. The body of a function is not examined, since the function itself is already a match.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from sspcloud_magics.databases.postgres.sql_lexer import Kind, Statement, fold, tokens

_FIRST = 16384
"""PostgreSQL's FirstNormalObjectId: all objects of a new database have a lower OID."""

_OPERATOR = re.compile(r"[-+*/<>=~!@#%^&|`?]+")
# The operators behind IN, BETWEEN, LIKE, USING and similar syntax.
_IMPLIED = ("=", "<>", "<", ">", "<=", ">=", "~~", "!~~", "~~*", "!~~*", "~", "!~")

# The catalogues whose objects may lead to a function. Triggers are not among them: no query runs one.
_FOLLOWED = [
    "class",
    "type",
    "proc",
    "operator",
    "rewrite",
    "policy",
    "constraint",
    "attrdef",
    "statistic_ext",
]
_CLASSES = {name: f"'pg_catalog.pg_{name}'::pg_catalog.regclass::pg_catalog.oid" for name in _FOLLOWED}

# Names and operators are qualified, since it runs with the user's search path.
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
"""A query whether names (``$1``) or operators (``$2``) lead to a user-defined function."""


def list_named(statement: Statement) -> list[bytes]:
    """Return the parameters of `CHECK`: arrays of the names and the operators that a statement may refer to."""
    names: dict[str, None] = {}
    symbols: list[str] = []
    for token in tokens(statement.sql):
        text = statement.sql[token.start : token.end]
        if token.kind is Kind.WORD:
            # Whether PostgreSQL folds non-ASCII letters depends on the database's encoding.
            names[text.lower()] = names[fold(text)] = None
        elif token.kind is Kind.QUOTED and text.endswith('"'):
            names[text[text.index('"') + 1 : -1].replace('""', '"')] = None
        symbols.append(text if token.kind is Kind.SYMBOL else " ")
    runs = _OPERATOR.findall("".join(symbols))
    # The end of a run may be a unary operator, so all substrings are looked up.
    parts = {
        run[start:end] for run in runs for start in range(len(run)) for end in range(start + 1, len(run) + 1)
    }
    return [_array(names), _array(parts.union(_IMPLIED))]


def _array(texts: Iterable[str]) -> bytes:
    quoted = (text.replace("\\", r"\\").replace('"', r"\"") for text in texts)
    return ("{" + ",".join(f'"{text}"' for text in quoted) + "}").encode()
