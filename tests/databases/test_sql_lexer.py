"""The SQL lexer: parameters, and the ends of statements."""

from __future__ import annotations

import subprocess
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sspcloud_magics.databases.postgres.sql_lexer import Kind, statements, tokens
from tests.support.examples import examples
from tests.support.postgres_servers import BINARIES, Server


def one(text: str):
    [statement] = statements(text)
    return statement


@pytest.mark.parametrize(
    ("written", "sent", "names"),
    [
        ("select :a", "select $1", ("a",)),
        ("select :a, :b, :a", "select $1, $2, $1", ("a", "b")),
        ("select :été", "select $1", ("été",)),
        ("where a=:a and(:b)", "where a=$1 and($2)", ("a", "b")),
        ("select date:d", "select date $1", ("d",)),
        ("f(a:=:b, c => :d)", "f(a:=$1, c => $2)", ("b", "d")),
        ("select :a::int, :b::text[]", "select $1::int, $2::text[]", ("a", "b")),
        ("select a:: :b", "select a:: $1", ("b",)),
        ("a[:i]", "a[$1]", ("i",)),
        ("a[1: :n]", "a[1: $1]", ("n",)),
        ("a[f(:x):2]", "a[f($1):2]", ("x",)),
        ("array[:x, 2, :y]", "array[$1, 2, $2]", ("x", "y")),
        ("array[[:x],[:y]]", "array[[$1],[$2]]", ("x", "y")),
        ("(select 1)[:i]", "(select 1)[$1]", ("i",)),
        ("case when a[1]=:x then :y end", "case when a[1]=$1 then $2 end", ("x", "y")),
        ("select 'a' :b", "select 'a' $1", ("b",)),
        ("select 'it''s' || :b", "select 'it''s' || $1", ("b",)),
        (r"select 'a\' || :b", r"select 'a\' || $1", ("b",)),
        (r"select E'a\'' || :b", r"select E'a\'' || $1", ("b",)),
        ("select $$ :x $$ || :b", "select $$ :x $$ || $1", ("b",)),
        ("select a$b$c, :d, x$b$", "select a$b$c, $1, x$b$", ("d",)),
        ("select /* :x /* :y */ :z */ :b", "select /* :x /* :y */ :z */ $1", ("b",)),
        ("select 1 -- :x\n, :b", "select 1 -- :x\n, $1", ("b",)),
    ],
)
def test_a_colon_and_a_name_is_a_parameter(written, sent, names):
    statement = one(written)
    assert statement.sql == sent
    assert statement.names == names


@pytest.mark.parametrize(
    "text",
    [
        "select 'a:b', ':c', '12:mm'",
        'select ":a" from ":b"',
        r"select E'\':a', e'\\', E':c'",
        "select U&'\\0061:b', U&\":c\"",
        "select B'1', x'ff', N':n'",
        "select 'a'\n  ':b'",
        "select E'a'\n  '\\':b'",
        "select E'a' -- comment\n  '\\':b'",
        "select $$:a$$, $tag$ $$ :b $other$ $tag$",
        "select x::int, x::pg_catalog.text, 1::numeric(4,2)",
        "select f(a := 1)",
        "select a[1:2], a[lo:hi], a[f(1):g(2)], a[1][lo:hi], (a)[lo:hi], a[b[1]:hi], a['1':hi]",
        "select a [ lo : hi ], a[lo:hi][lo:hi]",
        "select j->'a'->>'b', j @> '{}', j ? 'k', j ?| array['a'], a % 2, j #>> '{a,b}', '%'",
        "select 1 /* :a */ -- :b\n, 2",
        "select 12:30",
        "select ':unfinished",
        "select $a$ :unfinished",
        "/* :unfinished",
    ],
)
def test_nothing_else_is_one(text):
    assert [statement.names for statement in statements(text)] in ([()], [])
    assert [statement.sql for statement in statements(text)] in ([text], [])


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("select 1; select 2", ["select 1", "select 2"]),
        ("select 1;\n-- the end\n;;  ", ["select 1"]),
        ("", []),
        (" -- nothing\n /* at all */ ", []),
        ("select ';', $$;$$, \";\"; select 2", ["select ';', $$;$$, \";\"", "select 2"]),
        (
            "create rule r as on insert to t do (select 1; select 2); select 3",
            ["create rule r as on insert to t do (select 1; select 2)", "select 3"],
        ),
        (
            "create or replace function f() returns int begin atomic select 1; select case when true then 2 end; end; select 3",
            [
                "create or replace function f() returns int begin atomic select 1; select case when true then 2 end; end",
                "select 3",
            ],
        ),
        ("begin; select 1; end; select 2", ["begin", "select 1", "end", "select 2"]),
    ],
)
def test_a_semicolon_ends_a_statement(text, parts):
    assert [statement.text for statement in statements(text)] == parts


def test_a_statement_knows_its_line():
    assert [statement.line for statement in statements("\nselect 1;\n\n select 2; select 3")] == [2, 4, 4]


def test_positions_lead_back_to_what_was_written():
    statement = one("select :first_name, x:other, oops")
    assert statement.sql == "select $1, x $2, oops"
    assert statement.offset_as_written(statement.sql.index("oops")) == statement.text.index("oops")
    assert statement.offset_as_written(statement.sql.index("$1")) == statement.text.index(":first")
    assert statement.offset_as_written(statement.sql.index(", oops")) == statement.text.index(", oops")
    assert statement.offset_as_written(len(statement.sql)) == len(statement.text)


_names = st.from_regex(r"[a-z_é][a-z0-9_é]{0,6}", fullmatch=True)
_inner = st.text("ab:;'\"\\$/*- \n?%é", max_size=8)
_opaque = st.one_of(
    _inner.map(lambda text: "'" + text.replace("'", "''") + "'"),
    _inner.map(lambda text: "E'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"),
    _inner.filter(bool).map(lambda text: '"' + text.replace('"', '""') + '"'),
    _inner.filter(lambda text: "$" not in text).map(lambda text: f"$q${text}$q$"),
    _inner.filter(lambda text: "*" not in text and "/" not in text).map(lambda text: f"/*{text}/*:x*/*/"),
    _inner.filter(lambda text: "\n" not in text).map(lambda text: f"--{text}\n"),
)
_plain = st.sampled_from(
    ["select", "a", "x::int", "->>", "?", "%", ",", "(", ")", "1", "1.5e3", "f(a := 1)", "||"]
)
_pieces = st.lists(
    st.one_of(
        _plain.map(lambda text: (text, None)),
        _opaque.map(lambda text: (text, None)),
        _names.map(lambda name: (f":{name}", name)),
    ),
    max_size=12,
)


@given(_pieces)
def test_parameters_are_found_between_whatever_else(pieces):
    text = " ".join(["select", *(piece for piece, _ in pieces)])
    found = [text[token.start + 1 : token.end] for token in tokens(text) if token.kind is Kind.PARAMETER]
    assert found == [name for _, name in pieces if name]


@given(st.text("ab1:;'\"\\$/*-[]() \n?%éE_.", max_size=60))
def test_tokens_cover_any_text_without_a_gap(text):
    position = 0
    for token in tokens(text):
        assert token.start == position < token.end
        position = token.end
    assert position == len(text)


@given(st.text("ab1:;'\"\\$/*-[]() \n?%éE_.", max_size=60))
def test_any_text_gives_statements_within_its_bounds(text):
    for statement in statements(text):
        assert statement.text in text
        offsets = [statement.offset_as_written(offset) for offset in range(len(statement.sql) + 1)]
        assert offsets == sorted(offsets)
        assert offsets[0] >= 0
        assert offsets[-1] <= len(statement.text)


def _goes_on(piece: str, following: str) -> bool:
    """Whether a string with escapes may continue after the end of a comment's line."""
    return piece.startswith("E'") and following.startswith("--")


@settings(
    max_examples=examples(25),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(texts=st.lists(_pieces, min_size=1, max_size=30))
def test_psql_finds_the_same_parameters(server: Server, texts):
    """Psql substitutes ``:name`` by PostgreSQL's own lexer: the oracle, for all but slices.

    It reads a line at a time, so it does not see that a string goes on in the next one, as the server does.
    """
    texts = [
        pieces
        for pieces in texts
        if not any(_goes_on(before, piece) for (before, _), (piece, _) in pairwise(pieces))
    ]
    written = [" ".join(["select", *(piece.replace(";", ",") for piece, _ in pieces)]) for pieces in texts]
    names = {name for pieces in texts for _, name in pieces if name}
    script = "".join(f"\\set {name} FOUND_{name}\n" for name in sorted(names))
    script += "".join(f"{text}\n\\p\n\\r\n\\echo =====\n" for text in written)
    psql = subprocess.run(
        [BINARIES / "psql", "-X", "-q", f"postgresql://postgres@127.0.0.1:{server.port}/postgres"],
        input=script, capture_output=True, text=True, env={"PGPASSWORD": server.password}, check=True,
    )  # fmt: skip
    theirs = [part.strip() for part in psql.stdout.split("=====\n")[:-1]]
    ours = [
        "".join(
            f"FOUND_{text[token.start + 1 : token.end]}"
            if token.kind is Kind.PARAMETER
            else text[token.start : token.end]
            for token in tokens(text)
        ).strip()
        for text in written
    ]
    assert ours == theirs
