"""The report of the doctor: as text, as a table with folded evidence, as JSON, and redacted.

Data from the cluster are escaped in HTML, and control characters are shown as escapes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from html import escape
from typing import Any

from sspcloud_magics.doctor.findings import Finding, Verdict
from sspcloud_magics.i18n import _, _n
from sspcloud_magics.printable import printable

_MARKS = {Verdict.FINE: "✓", Verdict.LOOK: "!", Verdict.BROKEN: "✗", Verdict.NOT_NEEDED: "·"}
_COLOURS = {
    Verdict.FINE: "var(--jp-success-color1,#388e3c)",
    Verdict.LOOK: "var(--jp-warn-color1,#b26a00)",
    Verdict.BROKEN: "var(--jp-error-color1,#c62828)",
    Verdict.NOT_NEEDED: "var(--jp-ui-font-color2,#757575)",
}
_CELL = "text-align:left;vertical-align:top;padding:.2em 1em .2em 0;white-space:normal"

# Tokens, mail addresses, and namespaces and RBAC names of any person or project. Hosts of URLs are kept.
_PERSONAL = (
    (re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]*"), "TOKEN"),
    (re.compile(r"[\w.+-]+@[\w-]+(\.[\w-]+)+"), "MAIL"),
    (re.compile(r"\b(user|projet|oidc)-[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"), r"\1-PERSON"),
)


@dataclass(frozen=True, slots=True)
class Report:
    """The findings of the doctor.

    Parameters
    ----------
    findings
        The findings in the order of the checks.
    personal
        Names of people and machines, which `redact` hides.
    """

    findings: tuple[Finding, ...]
    personal: tuple[str, ...] = field(default=(), repr=False)

    @property
    def healthy(self) -> bool:
        """Whether nothing is broken."""
        return all(finding.verdict is not Verdict.BROKEN for finding in self.findings)

    @property
    def summary(self) -> str:
        """The result in one sentence."""
        count = {verdict: sum(f.verdict is verdict for f in self.findings) for verdict in Verdict}
        steps = dict.fromkeys(_line(_(f.step)) for f in self.findings if f.verdict is Verdict.BROKEN)
        if steps:
            return _("Broken: {checks}.", checks=", ".join(steps))
        if count[Verdict.LOOK]:
            return _n(
                "Nothing is broken; {count} check needs a look.",
                "Nothing is broken; {count} checks need a look.",
                count[Verdict.LOOK],
            )
        return _("Everything is fine.")

    def redact(self) -> Report:
        """Return the report without tokens, passwords and names of people, to show to others."""

        def clean(text: str) -> str:
            for pattern, instead in _PERSONAL:
                text = pattern.sub(instead, text)
            for word in sorted(self.personal, key=len, reverse=True):
                text = re.sub(
                    rf"(?<![A-Za-z0-9]){re.escape(word)}(?![A-Za-z0-9])", "PERSON", text, flags=re.IGNORECASE
                )
            return text

        return Report(
            tuple(
                replace(  # `step` is a word of the doctor, even if a person has the same name
                    finding,
                    what=clean(finding.what),
                    evidence=tuple(map(clean, finding.evidence)),
                    hint=clean(finding.hint),
                )
                for finding in self.findings
            )
        )

    def to_json(self) -> str:
        """Return the report as JSON: a list of findings under ``findings``, and ``healthy``; the key ``mend`` holds a hint."""
        listed = [
            {
                "step": _line(finding.step),
                "verdict": finding.verdict.value,
                "what": _line(finding.what),
                "evidence": [_line(each) for each in finding.evidence],
                "mend": [_line(each) for each in finding.hint.splitlines()],
            }
            for finding in self.findings
        ]
        return json.dumps({"healthy": self.healthy, "findings": listed}, indent=2, ensure_ascii=False)

    def __str__(self) -> str:
        return "\n".join([*_lines(self.findings), "", self.summary])

    def __repr__(self) -> str:
        return str(self)

    def _repr_mimebundle_(self, **_bundle: Any) -> dict[str, str]:
        rows = "".join(_row(finding) for finding in self.findings)
        heads = "".join(f"<th style={_CELL!r}>{each}</th>" for each in ("", _("Check"), _("Finding")))
        html = (
            "<div style='color:var(--jp-content-font-color1,inherit)'>"
            f"<p><strong>{escape(self.summary)}</strong></p>"
            "<table style='border-collapse:collapse;margin:0'>"
            f"<thead><tr>{heads}</tr></thead>"
            f"<tbody>{rows}</tbody></table></div>"
        )
        return {"text/plain": str(self), "text/html": html}


def _line(text: str) -> str:
    return printable(text, one_line=True)


def _lines(findings: Iterable[Finding]) -> Iterable[str]:
    for finding in findings:
        yield f"{_MARKS[finding.verdict]} {_line(_(finding.step)):<15} {_line(finding.what)}"
        if finding.verdict is not Verdict.NOT_NEEDED:
            yield from (f"{'':<18}{_line(line)}" for line in finding.evidence)
        yield from (f"{'':<18}→ {_line(line)}" for line in finding.hint.splitlines())


def _row(finding: Finding) -> str:
    evidence = "".join(f"<li>{escape(_line(line))}</li>" for line in finding.evidence)
    hint = "".join(f"<div>→ {escape(_line(line))}</div>" for line in finding.hint.splitlines())
    found = escape(_line(finding.what))
    if evidence:
        is_open = "" if finding.verdict is Verdict.FINE else " open"
        found = (
            f"<details{is_open}><summary>{found}</summary><ul style='margin:.2em 0'>{evidence}</ul></details>"
        )
    mark = f"<td style='{_CELL};color:{_COLOURS[finding.verdict]}' title='{escape(_(finding.verdict.value), quote=True)}'>{_MARKS[finding.verdict]}</td>"
    step = f"<th scope='row' style='{_CELL}'>{escape(_line(_(finding.step)))}</th>"
    return f"<tr>{mark}{step}<td style='{_CELL}'>{found}{hint}</td></tr>"
