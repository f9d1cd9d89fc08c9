"""What a step found: a verdict, a sentence, the evidence, and what mends it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from sspcloud_magics.errors import SspcloudError


class Verdict(StrEnum):
    """How it stands with one step."""

    FINE = "fine"
    LOOK = "look at it"
    BROKEN = "broken"
    NOT_NEEDED = "not needed"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one step found.

    Parameters
    ----------
    step
        What was looked at.
    verdict
        How it stands.
    what
        One sentence.
    evidence
        What was seen, a line each.
    hint
        What to do, one step a line; empty where nothing is to be done.
    """

    step: str
    verdict: Verdict
    what: str
    evidence: tuple[str, ...] = ()
    hint: str = ""


def fine(step: str, what: str, *evidence: str) -> Finding:
    """Return a finding that needs nothing."""
    return Finding(step, Verdict.FINE, what, tuple(line for line in evidence if line))


def look(step: str, what: str, *evidence: str, hint: str = "") -> Finding:
    """Return a finding that works and is not as it should be."""
    return Finding(step, Verdict.LOOK, what, tuple(line for line in evidence if line), hint)


def make_broken(step: str, what: str, *evidence: str, hint: str = "") -> Finding:
    """Return a finding that keeps a byte from arriving."""
    return Finding(step, Verdict.BROKEN, what, tuple(line for line in evidence if line), hint)


def not_needed(step: str, why: str) -> Finding:
    """Return a finding on a step that was left out."""
    return Finding(step, Verdict.NOT_NEEDED, why)


def make_failed(step: str, error: SspcloudError) -> Finding:
    """Return what an error says, as a finding."""
    return make_broken(step, error.what, *error.why.splitlines(), hint=error.hint)
