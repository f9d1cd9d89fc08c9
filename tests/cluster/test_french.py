"""The cluster's messages in French: requests as a clause, durations and dates, and sentences that a language change reaches."""

# ruff: noqa: RUF001, RUF002 - the apostrophe of French

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sspcloud_magics import i18n
from sspcloud_magics.cluster.api.api_errors import from_answer
from sspcloud_magics.cluster.api.resources import DEPLOYMENTS, NAMESPACES, PODS, Attempt
from sspcloud_magics.cluster.auth.expiry import Expiry
from sspcloud_magics.cluster.cluster import find_cluster
from sspcloud_magics.target import KINDS, describe_request
from sspcloud_magics.tunnel.pod_selection import Candidate, not_ready_words

pytestmark = pytest.mark.usefixtures("french")


@pytest.mark.parametrize(
    ("attempt", "words"),
    [
        (Attempt("list", PODS, "user-bob"), "lister les pods dans user-bob"),
        (Attempt("list", PODS), "lister les pods dans tous les espaces de noms"),
        (Attempt("get", DEPLOYMENTS, "a", "web"), "lire l’objet deployment web dans a"),
        (Attempt("get", NAMESPACES, name="a"), "lire l’espace de noms a"),
        (Attempt("create", PODS, "a", "db", "portforward"), "créer pods/portforward sur le pod db dans a"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.verb,
)
def test_request_is_a_clause(attempt: Attempt, words: str) -> None:
    assert attempt.words == words


@pytest.mark.parametrize("verb", ["get", "list", "watch", "create", "update", "delete", "patch", "tunnel"])
@pytest.mark.parametrize("plural", [f"{kind}s" for kind in sorted(set(KINDS.values()))] + ["endpoints"])
def test_request_begins_with_a_consonant(verb: str, plural: str) -> None:
    """It follows « Vous n’avez pas le droit de »."""
    assert describe_request(verb, plural, "x")[0] not in "aeéiou"


def test_missing_object_begins_its_sentence() -> None:
    found = from_answer(
        404,
        "application/json",
        b'{"message": "deployments.apps \\"web\\" not found"}',
        Attempt("get", DEPLOYMENTS, "a", "web"),
        server="https://api.example",
        in_service=False,
        own=True,
    )
    assert found.what == "L’objet deployment web n’existe pas."
    assert found.why == '«\N{NO-BREAK SPACE}deployments.apps "web" not found\N{NO-BREAK SPACE}»'


def test_expiry_is_in_words() -> None:
    now = datetime(2026, 6, 1, 12, tzinfo=UTC)
    text = Expiry(now, now + timedelta(days=6), renews=True).describe(now)
    assert text.startswith("jusqu’au dimanche 7 juin 2026")
    assert "soit encore 6 jours" in text.replace("\N{NO-BREAK SPACE}", " ")
    assert "renouvelle" in text


def test_state_of_the_cluster_is_quoted() -> None:
    waiting = [Candidate(name, "", (), usable=False, state="Pending", trouble="no node.") for name in "ab"]
    space = "\N{NO-BREAK SPACE}"
    assert (
        not_ready_words(waiting[:1]) == f"Le pod a est dans l’état Pending{space}: «{space}no node{space}»."
    )
    assert not_ready_words(waiting) == "2 pods sont dans l’état Pending, comme a."


def test_language_change_reaches_what_exists(tmp_path: Path) -> None:
    cluster = find_cluster(server="https://api.example", token_file=tmp_path / "token")
    assert cluster.source.startswith("serveur https://api.example")
    i18n.choose(i18n.Source.SETTING, "en")
    assert cluster.source.startswith("server https://api.example")
