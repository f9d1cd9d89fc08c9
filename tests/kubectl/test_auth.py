"""``kubectl auth``, tokens, and the permissions of a narrow Role."""

from __future__ import annotations

import json

import pytest

from tests.kubectl.conftest import Kubectl

FORWARDED = "pods/postgresql-cnpg-951239-1"


def test_whoami(kubectl: Kubectl) -> None:
    rows = [line.split(maxsplit=1) for line in kubectl("alice", "auth", "whoami").lines]
    assert rows[0] == ["ATTRIBUTE", "VALUE"]
    assert ["Username", "oidc-alice"] in rows
    groups = dict(rows)["Groups"].strip("[]").split()
    assert "system:authenticated" in groups


@pytest.mark.parametrize(
    ("person", "words", "answer"),
    [
        ("alice", "create pods/portforward", "yes"),
        ("alice", "get secrets", "yes"),
        ("alice", "list pods -A", "no"),
        ("alice", "create resourcequotas", "no"),
        ("alice", "list nodes", "no"),
        ("bob", "list pods -n user-alice", "no"),
        ("bob", "get secrets -n user-alice", "no"),
        ("bob", "get secrets/postgresql-cnpg-951239-share-bob -n user-alice", "yes"),
        ("bob", f"create {FORWARDED} --subresource=portforward -n user-alice", "yes"),
        ("bob", f"get {FORWARDED} --subresource=portforward -n user-alice", "yes"),
        ("bob", "create pods/mon-api-abcdef-12345 --subresource=portforward -n user-alice", "no"),
        ("bob", "list endpoints/postgresql-cnpg-951239-rw -n user-alice", "yes"),
        ("bob", "list endpoints -n user-alice", "no"),
        ("carol", "get secrets/postgresql-cnpg-951239-share-bob -n user-alice", "no"),
        ("admin", "* * -A", "yes"),
        ("alice", "get /version", "yes"),
        ("alice", "get /metrics", "no"),
    ],
)
def test_can_i(kubectl: Kubectl, person: str, words: str, answer: str) -> None:
    said = kubectl(person, "auth", "can-i", *words.split())
    assert (said.out, said.code) == (f"{answer}\n", 0 if answer == "yes" else 1)


def test_can_i_list(kubectl: Kubectl) -> None:
    rows = kubectl("bob", "auth", "can-i", "--list", "-n", "user-alice").lines
    mine = {row.split()[0]: row for row in rows}
    assert mine["secrets"].split("[")[2].startswith("postgresql-cnpg-951239-share-bob]")
    assert "[create" not in mine["secrets"]
    assert "selfsubjectreviews.authentication.k8s.io" in mine


def test_can_i_as_another_user(kubectl: Kubectl) -> None:
    asked = ("auth", "can-i", "list", "pods", "-n", "user-alice", "--as=oidc-bob")
    assert kubectl("admin", *asked).out == "no\n"
    said = kubectl("carol", *asked)
    assert said.err == (
        'Error from server (Forbidden): users "oidc-bob" is forbidden: User "oidc-carol" cannot impersonate resource '
        '"users" in API group "" at the cluster scope\n'
    )


def test_named_role_allows_list_and_watch_by_name(kubectl: Kubectl) -> None:
    one = "--field-selector=metadata.name=postgresql-cnpg-951239-rw"
    said = kubectl("bob", "get", "endpoints", "-n", "user-alice", one, "-o", "name")
    assert said.lines == ["endpoints/postgresql-cnpg-951239-rw"]
    said = kubectl("bob", "get", "endpoints", "-n", "user-alice")
    assert said.err.startswith("Error from server (Forbidden): endpoints is forbidden: User")


def test_token_of_a_service_account(kubectl: Kubectl) -> None:
    token = kubectl("bob", "create", "token", "default", "--duration=10m").out.strip()
    said = kubectl("bob", f"--token={token}", "auth", "whoami", "-o", "json")
    info = json.loads(said.out)["status"]["userInfo"]
    assert info["username"] == "system:serviceaccount:user-bob:default"
    assert info["groups"] == [
        "system:serviceaccounts",
        "system:serviceaccounts:user-bob",
        "system:authenticated",
    ]
    shared = ("get", "secret", "postgresql-cnpg-951239-share-bob", "-n", "user-alice", "-o", "name")
    assert kubectl("bob", f"--token={token}", *shared).code == 0
    said = kubectl("bob", f"--token={token}", "get", "pods")
    assert said.err == (
        'Error from server (Forbidden): pods is forbidden: User "system:serviceaccount:user-bob:default" cannot list '
        'resource "pods" in API group "" in the namespace "user-bob"\n'
    )


def test_token_that_would_end_too_soon(kubectl: Kubectl) -> None:
    said = kubectl("bob", "create", "token", "default", "--duration=1m")
    assert "may not specify a duration less than 10 minutes" in said.err
