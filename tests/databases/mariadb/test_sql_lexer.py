"""Statements and parameters in MariaDB's SQL."""

from __future__ import annotations

import pytest

from sspcloud_magics.databases.mariadb.sql_lexer import statements

NO_PARAMETERS = [
    "select ':a', \":a\", `:a`, 'it''s :a', 'back\\'slash :a'",
    "select 1 -- :a\n, 2 # :a\n, 3 /* :a */",
    "set @a := 1",
    "select a : b",
    "create procedure p(x int) begin lbl:LOOP leave lbl; end loop; end",
]


@pytest.mark.parametrize("sql", NO_PARAMETERS)
def test_no_parameter_is_found(sql):
    (only,) = statements(sql)
    assert (only.names, "".join(only.pieces), only.text) == ((), sql, sql)


def test_parameters_are_found():
    (only,) = statements("select :a+:é, /*! :b */ '\\' || :c")
    assert only.names == ("a", "é", "b")
    (only,) = statements("select '\\' || :c", backslashes=False)
    assert only.names == ("c",)


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        ("select 1; select ';' ;; -- end", ["select 1", "select ';'"]),
        ("# only a comment\n/* and another */", []),
        ("create procedure p() begin select 1; end; ", ["create procedure p() begin select 1; end"]),
        (
            "create or replace definer = root@localhost procedure p() select 1; select 2",
            ["create or replace definer = root@localhost procedure p() select 1", "select 2"],
        ),
        ("begin not atomic select 1; select 2; end", ["begin not atomic select 1; select 2; end"]),
        ("begin; select 1; commit", ["begin", "select 1", "commit"]),
        ("select 'unterminated; select 2", ["select 'unterminated; select 2"]),
    ],
)
def test_statements_end_at_semicolons(sql, found):
    assert [each.text for each in statements(sql)] == found


def test_long_string_takes_no_time():
    assert len(statements("select '" + "a''\\\\" * 100_000)) == 1
