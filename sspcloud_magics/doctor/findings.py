"""The result of a check: a verdict, a sentence, the evidence and a hint."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from sspcloud_magics.errors import SspcloudError
from sspcloud_magics.i18n import N_


class Verdict(StrEnum):
    """The outcome of a check."""

    FINE = N_("fine")
    LOOK = N_("look at it")
    BROKEN = N_("broken")
    NOT_NEEDED = N_("not needed")


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of a check."""

    step: str  # the name of the check, in English
    verdict: Verdict  # the outcome
    what: str  # the result in one sentence
    evidence: tuple[str, ...] = ()  # the observations, one per line
    hint: str = ""  # what to do, one step per line; empty if there is nothing to do


# The names of findings that are not names of checks; the report translates both.
_STEPS = (
    N_("Clock"),
    N_("Connections"),
    N_("Login"),
    N_("Pods"),
    N_("Route"),
    N_("Secrets"),
    N_("Tables"),
)


def fine(step: str, what: str, *evidence: str) -> Finding:
    """Return a finding that needs no action."""
    return Finding(step, Verdict.FINE, what, tuple(line for line in evidence if line))


def look(step: str, what: str, *evidence: str, hint: str = "") -> Finding:
    """Return a finding about something that works, but should be changed."""
    return Finding(step, Verdict.LOOK, what, tuple(line for line in evidence if line), hint)


def make_broken(step: str, what: str, *evidence: str, hint: str = "") -> Finding:
    """Return a finding about something that does not work."""
    return Finding(step, Verdict.BROKEN, what, tuple(line for line in evidence if line), hint)


def not_needed(step: str, why: str) -> Finding:
    """Return a finding about a check that was skipped."""
    return Finding(step, Verdict.NOT_NEEDED, why)


def make_failed(step: str, error: SspcloudError) -> Finding:
    """Return an error as a finding."""
    return make_broken(step, error.what, *error.why.splitlines(), hint=error.hint)
