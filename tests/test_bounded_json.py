"""JSON from outside has limits, and keeps what it says within them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sspcloud_magics.bounded_json import DEEPEST, TooMuch, check_nesting, parse


@pytest.mark.parametrize("opened", ["[", '{"a":'])
def test_nesting_has_a_limit(opened: str) -> None:
    closed = {"[": "]", '{"a":': "}"}[opened]
    inner = "" if opened == "[" else "1"
    text = opened * DEEPEST + inner + closed * DEEPEST
    assert json.dumps(parse(text)) == json.dumps(json.loads(text))
    with pytest.raises(TooMuch, match="more than 100 levels"):
        parse(f"[{text}]")


@pytest.mark.parametrize("depth", [900, 5_000, 200_000])
def test_deep_text_refused_at_any_depth(depth: int) -> None:
    """Some depths a parser takes, and others it fails at in a way of its own."""
    with pytest.raises(TooMuch, match="more than 100 levels"):
        parse(b"[" * depth + b"]" * depth)


def test_brackets_in_texts_are_no_nesting() -> None:
    value = {"a": ["[" * 500, "{" * 500, '"]' * 500]}
    assert parse(json.dumps(value)) == value


def test_number_of_values_has_a_limit() -> None:
    assert parse("[1,2,3]", 4) == [1, 2, 3]
    with pytest.raises(TooMuch, match="more than 4 values"):
        parse("[1,2,3,4,5]", 4)


@pytest.mark.parametrize("text", ["", "secret-canary", b"\xff", '"\\ud800"', "[1,", "\ud800"])
def test_what_is_no_json_is_not_quoted(text: Any) -> None:
    with pytest.raises(ValueError, match=r"^not JSON$"):
        parse(text)


def test_aliases_count_each_time() -> None:
    """As YAML makes them: little text, and any number of values."""
    inner: list[Any] = [[]]
    for _ in range(50):
        inner = [inner] * 10
    with pytest.raises(TooMuch, match="values"):
        check_nesting(inner, 100_000)
