"""Errors say what happened, why and what to do next, and cross the helper's pipe unchanged."""

import inspect
import re

import pytest

from sspcloud_magics import errors
from sspcloud_magics.errors import Forbidden, PortTaken, SspcloudError, from_wire

KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, SspcloudError)]


def test_the_text_has_what_why_and_one_arrow_a_step():
    error = Forbidden("You may not.", why="A right is missing.", mend="ask alice\nor log in again")
    assert str(error) == "You may not.\nA right is missing.\n→ ask alice\n→ or log in again"


def test_parts_that_are_missing_leave_no_empty_line():
    assert str(SspcloudError("It broke.")) == "It broke."


def test_ipython_shows_the_name_and_the_text_only():
    assert PortTaken("Taken.", mend="choose another")._render_traceback_() == [
        "PortTaken: Taken.\n→ choose another"
    ]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_error_crosses_the_pipe(kind):
    sent = kind("what", why="why", mend="mend")
    received = from_wire(sent.to_wire())
    assert type(received) is kind
    assert str(received) == str(sent)


def test_an_unknown_code_is_still_an_error():
    assert type(from_wire({"code": "Exception", "what": "x"})) is SspcloudError


def test_the_drawn_tree_is_the_real_one():
    drawn = set(re.findall(r"[├└│─ ]*([A-Z]\w+)(?: {2,}|$)", errors.__doc__, re.MULTILINE))
    assert drawn == {kind.__name__ for kind in KINDS}
