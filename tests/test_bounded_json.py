"""Untrusted JSON has limits, and is parsed unchanged within them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sspcloud_magics.bounded_json import MAX_DEPTH, LimitExceeded, check_nesting, parse


@pytest.mark.parametrize("opened", ["[", '{"a":'])
def test_nesting_has_a_limit(opened: str) -> None:
    closed = {"[": "]", '{"a":': "}"}[opened]
    inner = "" if opened == "[" else "1"
    text = opened * MAX_DEPTH + inner + closed * MAX_DEPTH
    assert json.dumps(parse(text)) == json.dumps(json.loads(text))
    with pytest.raises(LimitExceeded, match="more than 100 levels"):
        parse(f"[{text}]")


@pytest.mark.parametrize("depth", [900, 5_000, 200_000])
def test_deep_text_refused_at_any_depth(depth: int) -> None:
    """Parsers accept some depths, and fail at others with errors of their own."""
    with pytest.raises(LimitExceeded, match="more than 100 levels"):
        parse(b"[" * depth + b"]" * depth)


def test_brackets_in_texts_are_no_nesting() -> None:
    value = {"a": ["[" * 500, "{" * 500, '"]' * 500]}
    assert parse(json.dumps(value)) == value


def test_number_of_values_has_a_limit() -> None:
    assert parse("[1,2,3]", 4) == [1, 2, 3]
    with pytest.raises(LimitExceeded, match="more than 4 values"):
        parse("[1,2,3,4,5]", 4)


@pytest.mark.parametrize("text", ["", "secret-canary", b"\xff", '"\\ud800"', "[1,", "\ud800"])
def test_what_is_no_json_is_not_quoted(text: Any) -> None:
    with pytest.raises(ValueError, match=r"^not JSON$"):
        parse(text)


def test_aliases_count_each_time() -> None:
    """YAML aliases expand a short text to any number of values."""
    inner: list[Any] = [[]]
    for _ in range(50):
        inner = [inner] * 10
    with pytest.raises(LimitExceeded, match="values"):
        check_nesting(inner, 100_000)
