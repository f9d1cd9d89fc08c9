"""The report as people, machines and strangers see it."""

from __future__ import annotations

import json
from html.parser import HTMLParser

from sspcloud_magics.doctor.findings import Finding, Verdict, fine, look, make_broken, make_failed, not_needed
from sspcloud_magics.doctor.report import Report
from sspcloud_magics.errors import Forbidden
from tests.cluster.tokens import token

HOSTILE = "<img src=x onerror=alert(1)>\x1b[2J\u202e"


def report(*findings: Finding, personal: tuple[str, ...] = ()) -> Report:
    return Report(findings, personal)


def test_the_summary_names_what_is_broken_first() -> None:
    assert report(fine("A", "a")).summary == "Everything is fine."
    assert "1 check needs a look" in report(fine("A", "a"), look("B", "b")).summary
    both = report(make_broken("A", "a"), look("B", "b"), make_broken("C", "c"))
    assert both.summary == "Broken: A, C."
    assert not both.healthy
    assert report(look("B", "b"), not_needed("C", "c")).healthy


def test_an_error_becomes_a_finding_with_its_hint() -> None:
    finding = make_failed(
        "Permissions", Forbidden("You may not.", why="pods is forbidden", hint="ask\nagain")
    )
    assert finding.verdict is Verdict.BROKEN
    text = str(report(finding))
    assert (
        text.index("You may not.")
        < text.index("pods is forbidden")
        < text.index("→ ask")
        < text.index("→ again")
    )


class _Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002 - its shape
        self.tags.add(tag)


def test_cluster_text_is_neither_html_nor_escapes() -> None:
    shown = report(Finding(HOSTILE, Verdict.BROKEN, HOSTILE, (HOSTILE,), HOSTILE))
    elements = _Elements()
    elements.feed(shown._repr_mimebundle_()["text/html"])
    assert "img" not in elements.tags
    assert "details" in elements.tags
    for text in (str(shown), repr(shown), shown._repr_mimebundle_()["text/html"]):
        assert "\x1b" not in text
        assert "\u202e" not in text


def test_machines_read_the_same() -> None:
    told = json.loads(report(make_broken("Server", "is down", "no route", hint="wait\nask")).to_json())
    assert told == {
        "healthy": False,
        "findings": [
            {
                "step": "Server",
                "verdict": "broken",
                "what": "is down",
                "evidence": ["no route"],
                "mend": ["wait", "ask"],
            }
        ],
    }


def test_a_redacted_report_names_no_person() -> None:
    secret = token(exp=1)
    names = f"oidc-zoe in user-zoe-b1, /home/Zoe/.kube, share_zoe, zoe@ensae.fr, projet-x, {secret}"
    clean = report(make_broken("Login", names, names, hint=names), personal=("zoe", "login")).redact()
    assert "Login" in str(clean)  # the name of a check stays, even if a person has the same name
    for text in (str(clean), clean.to_json(), clean._repr_mimebundle_()["text/html"]):
        assert "zoe" not in text.lower()
        assert secret not in text
        assert "projet-x" not in text
        assert "/home/PERSON/.kube" in text
    assert clean.healthy is False
