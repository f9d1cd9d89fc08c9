"""Colleagues, and their names in the cluster."""

import pytest

from sspcloud_magics.errors import UsageProblem
from sspcloud_magics.sharing.colleagues import Subject, learn_prefix, parse_colleague


@pytest.mark.parametrize("text", ["bob", "user-bob", " bob "])
def test_person_is_a_user_and_their_service_accounts(text):
    bob = parse_colleague(text)
    assert (bob.name, bob.namespace) == ("bob", "user-bob")
    assert bob.subjects == (Subject("User", "oidc-bob"), Subject("Group", "system:serviceaccounts:user-bob"))


def test_group_is_a_group_and_its_service_accounts():
    group = parse_colleague("projet-x", prefix="kc-")
    assert (group.name, group.namespace) == ("projet-x", "projet-x")
    assert group.subjects == (Subject("Group", "kc-x"), Subject("Group", "system:serviceaccounts:projet-x"))


@pytest.mark.parametrize(
    ("text", "name", "namespace"),
    [
        ("user-projet-x", "user-projet-x", "user-projet-x"),
        ("user-user-projet-x", "user-user-projet-x", "user-user-projet-x"),
        ("projet-x", "projet-x", "projet-x"),
        ("user-oidc-bob", "oidc-bob", "user-oidc-bob"),
    ],
)
def test_similar_accounts_have_names_of_their_own(text, name, namespace):
    found = parse_colleague(text)
    assert (found.name, found.namespace) == (name, namespace)


def test_account_like_the_prefix_is_asked_about():
    with pytest.raises(UsageProblem, match="ambiguous") as refused:
        parse_colleague("oidc-bob")
    assert "write bob" in refused.value.hint
    assert "user-oidc-bob" in refused.value.hint


@pytest.mark.parametrize(
    "text", ["", "Bob", "bob carol", "bob@insee.fr", "été", "-bob", "user-", "b" * 60, '";--']
)
def test_what_is_no_account_name_is_refused(text):
    with pytest.raises(UsageProblem) as refused:
        parse_colleague(text)
    assert refused.value.hint


@pytest.mark.parametrize(("text", "owner"), [("alice", "user-alice"), ("projet-x", "projet-x")])
def test_a_share_with_its_owner_is_refused(text, owner):
    with pytest.raises(UsageProblem, match="is you"):
        parse_colleague(text, owner=owner)


def make_binding(name, *subjects):
    return {"metadata": {"name": name}, "subjects": [{"kind": kind, "name": who} for kind, who in subjects]}


@pytest.mark.parametrize(
    ("namespace", "subject", "prefix"),
    [
        ("user-alice", ("User", "oidc-alice"), "oidc-"),
        ("user-alice", ("User", "alice"), ""),
        ("projet-x", ("Group", "kc_x"), "kc_"),
        ("user-alice", ("User", "stranger"), None),
        ("projet-x", ("User", "oidc-max"), None),
        ("projet-x", ("User", "oidc-a-x"), None),
        ("projet-x", ("Group", "oidc-x"), "oidc-"),
        ("user-bob", ("User", "oidc-jacob"), None),
        ("user-alice", ("ServiceAccount", "oidc-alice"), None),
        ("user-alice", ("Group", "system:serviceaccounts:user-alice"), None),
    ],
)
def test_prefix_comes_from_onyxias_binding(namespace, subject, prefix):
    bindings = [make_binding("other", ("User", "x-alice")), make_binding("full_control_namespace", subject)]
    assert learn_prefix(namespace, bindings) == prefix


def test_prefix_is_the_owners_among_other_bindings():
    users = [("User", "oidc-a-alice"), ("User", "oidc-alice"), ("User", "oidc-malice")]
    assert learn_prefix("user-alice", [make_binding("full_control_namespace", *users)]) == "oidc-"


def test_without_that_binding_nothing_is_learnt():
    assert learn_prefix("user-alice", [{"metadata": {"name": "full_control_namespace"}}]) is None
