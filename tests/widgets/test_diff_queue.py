"""Updates for the browser: only differences, in small parts."""

from __future__ import annotations

import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sspcloud_magics.widgets.diff_queue import DiffQueue

facts = st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 3) | st.just("x" * 1200))


def test_nothing_is_told_where_nothing_changed() -> None:
    box = DiffQueue()
    box.update({"a": 1, "b": [2]})
    assert box.next_part() == {"a": 1, "b": [2]}
    box.update({"a": 1, "b": [2]})
    assert box.next_part() == {}


def test_change_undone_before_it_was_told_is_not_told() -> None:
    box = DiffQueue()
    box.update({"a": 1})
    box.next_part()
    box.update({"a": 2})
    box.update({"a": 1})
    assert box.next_part() == {}


def test_a_fact_that_is_gone_is_told_as_none() -> None:
    box = DiffQueue()
    box.update({"a": 1})
    box.next_part()
    box.update({})
    assert box.next_part() == {"a": None}
    assert box.next_part() == {}


def test_500_pods_are_told_in_portions_of_2_kb() -> None:
    box = DiffQueue()
    pods = {f"pod/jupyter-{number}": {"state": "Running", "ports": [[8888, "http"]]} for number in range(500)}
    box.update(pods)
    told = {}
    while part := box.next_part():
        assert len(json.dumps({"part": part}, separators=(",", ":"))) <= 2000
        told |= part
    assert told == pods


def test_what_has_waited_longest_is_told_first() -> None:
    box = DiffQueue()
    box.update({f"slow/{number}": "x" * 900 for number in range(4)})
    first = box.next_part()
    box.update({f"slow/{number}": "x" * 900 for number in range(4)} | dict.fromkeys(first, "y" * 900))
    assert not first.keys() & box.next_part().keys()


def test_outcome_of_a_click_overtakes_the_pods() -> None:
    box = DiffQueue()
    pods = {f"pod/jupyter-{number}": {"state": "Running", "ports": [[8888, "http"]]} for number in range(500)}
    box.update(pods)
    box.next_part()
    click = {"command/stop 1": {"state": "done"}, "forward/2": {"state": "active"}}
    box.update(pods | click)
    assert box.has_pending(("command/",))
    assert box.next_part().items() >= click.items()
    assert not box.has_pending(("command/",))
    assert box.has_pending(("pod/",))


def test_new_browser_is_told_all_and_then_changes() -> None:
    box = DiffQueue()
    box.update({"a": 1, "b": 2})
    box.next_part()
    assert box.take_all() == {"a": 1, "b": 2}
    box.update({"a": 1, "b": 3})
    assert box.next_part() == {"b": 3}


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # other tests may take the machine
@given(st.lists(facts, max_size=6))
def test_the_browser_ends_up_with_what_is_true(history: list[dict[str, object]]) -> None:
    box, browser = DiffQueue(), {}
    for wanted in history:
        box.update(wanted)
        browser |= box.next_part()
    while part := box.next_part():
        browser |= part
    assert {key: value for key, value in browser.items() if value is not None} == (history or [{}])[-1]
