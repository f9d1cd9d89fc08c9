"""The status line of the current step."""

import pytest

from sspcloud_magics.magics.status_line import steps


@pytest.fixture(autouse=True)
def terminal(monkeypatch):
    for module in ("audience", "transient_text"):
        monkeypatch.setattr(f"sspcloud_magics.{module}.has_terminal", lambda: True)


def test_step_covers_the_last_and_leaves_nothing(capsys):
    with steps(quiet=0) as tell:
        tell("making the role")
        tell("rights")
    assert capsys.readouterr().err == "\rmaking the role …\rrights …         \r        \r"


def test_the_line_is_wiped_away_when_the_call_fails(capsys):
    def call(tell):
        tell("x")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), steps(quiet=0) as tell:
        call(tell)
    assert capsys.readouterr().err.endswith("   \r")


def test_a_short_call_says_nothing(capsys):
    with steps(quiet=3600) as tell:
        tell("quick")
    assert capsys.readouterr().err == ""
