"""Findings on the identity if the server does not report it, as servers older than the sandbox's."""

from __future__ import annotations

from pathlib import Path

import pytest

from sspcloud_magics.cluster.cluster import find_cluster
from sspcloud_magics.cluster.requests.permissions import Identity
from sspcloud_magics.doctor import cluster_checks
from sspcloud_magics.doctor.context import DoctorContext
from sspcloud_magics.doctor.findings import Verdict


@pytest.mark.parametrize(
    ("user", "verdict", "known"),
    [
        ("oidc-bob", Verdict.FINE, True),
        ("", Verdict.FINE, True),
        ("system:anonymous", Verdict.BROKEN, False),
    ],
)
def test_who_one_is_to_the_server(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, user: str, verdict: Verdict, *, known: bool
) -> None:
    token = tmp_path / "token"
    token.write_text("let-me-in")
    cluster = find_cluster(server="https://127.0.0.1:1", token_file=token, namespace="user-bob", environ={})
    told = Identity(user, (), "user-bob", "https://127.0.0.1:1", "a token")
    monkeypatch.setattr(cluster_checks, "who_am_i", lambda _cluster: told)

    def refuse() -> None:
        raise AssertionError("no tunnel is tried")

    context = DoctorContext(lambda: cluster, refuse, None, None, {}, cluster=cluster)  # type: ignore[arg-type]
    [finding] = cluster_checks.identity(context)
    assert (finding.verdict, context.identity is told) == (verdict, known)
