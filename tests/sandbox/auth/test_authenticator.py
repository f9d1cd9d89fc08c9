"""Credentials: their users, and when they are refused."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass

import pytest

from sspcloud_magics.sandbox.auth.authenticator import Authenticator, Unauthenticated
from sspcloud_magics.sandbox.auth.tokens import new_signing_key
from sspcloud_magics.sandbox.resources import by_plural
from sspcloud_magics.sandbox.store import NotFound, Store

KEY = new_signing_key()


@dataclass
class Clock:
    now: float = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store() -> Store:
    store = Store()
    metadata = {"name": "notebook", "namespace": "user-bob"}
    store.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": dict(metadata)})
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "nb-0", "namespace": "user-bob"},
        "spec": {},
    }
    store.create(pod)
    return store


@pytest.fixture
def auth(store: Store, clock: Clock) -> Authenticator:
    return Authenticator(store, signing_key=KEY, clock=clock)


def test_static_token_stands_for_its_user(auth: Authenticator) -> None:
    auth.add_token("t0ken", "oidc-bob", groups=("oidc-team",))
    user = auth.authenticate("Bearer t0ken")
    assert (user.name, user.groups) == ("oidc-bob", ("oidc-team", "system:authenticated"))


def test_missing_credential_is_anonymous_wrong_refused(auth: Authenticator) -> None:
    assert auth.authenticate(None).name == "system:anonymous"
    with pytest.raises(Unauthenticated):
        auth.authenticate("Bearer wrong")


def test_the_authenticator_keeps_no_token_in_plain(auth: Authenticator) -> None:
    auth.add_token("canary-token", "oidc-bob")
    assert "canary-token" not in repr(vars(auth))


def test_service_account_token_stands_for_the_account(auth: Authenticator) -> None:
    token, expires = auth.service_accounts.issue("user-bob", "notebook", seconds=600, pod="nb-0")
    user = auth.user_of_token(token)
    assert user.name == "system:serviceaccount:user-bob:notebook"
    assert user.groups == (
        "system:serviceaccounts",
        "system:serviceaccounts:user-bob",
        "system:authenticated",
    )
    assert user.extra["authentication.kubernetes.io/pod-name"] == ("nb-0",)
    assert expires == 1_000_600


def test_service_account_token_is_a_jwt_with_its_end(auth: Authenticator) -> None:
    token, expires = auth.service_accounts.issue("user-bob", "notebook", seconds=600)
    payload = token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    assert claims["exp"] == expires
    assert claims["sub"] == "system:serviceaccount:user-bob:notebook"


def test_service_account_token_ends(auth: Authenticator, clock: Clock) -> None:
    token, _ = auth.service_accounts.issue("user-bob", "notebook", seconds=600)
    clock.now += 600
    with pytest.raises(Unauthenticated, match="expired"):
        auth.user_of_token(token)


@pytest.mark.parametrize("part", [0, 1, 2])
def test_tampered_token_is_refused(auth: Authenticator, part: int) -> None:
    token, _ = auth.service_accounts.issue("user-bob", "notebook")
    parts = token.split(".")
    middle = len(parts[part]) // 2
    other = "A" if parts[part][middle] != "A" else "B"
    parts[part] = parts[part][:middle] + other + parts[part][middle + 1 :]
    with pytest.raises(Unauthenticated):
        auth.user_of_token(".".join(parts))


def test_token_of_another_cluster_or_audience_fails(auth: Authenticator, store: Store, clock: Clock) -> None:
    elsewhere = Authenticator(store, signing_key=new_signing_key(), clock=clock)
    token, _ = elsewhere.service_accounts.issue("user-bob", "notebook")
    with pytest.raises(Unauthenticated):
        auth.user_of_token(token)
    token, _ = auth.service_accounts.issue("user-bob", "notebook", audiences=["https://vault"])
    with pytest.raises(Unauthenticated, match="audience"):
        auth.user_of_token(token)


def test_same_key_keeps_tokens_over_a_restart(auth: Authenticator, store: Store, clock: Clock) -> None:
    token, _ = auth.service_accounts.issue("user-bob", "notebook")
    again = Authenticator(store, signing_key=KEY, clock=clock)
    assert again.user_of_token(token).name == "system:serviceaccount:user-bob:notebook"


@pytest.mark.parametrize(("plural", "name"), [("serviceaccounts", "notebook"), ("pods", "nb-0")])
def test_token_dies_with_what_it_is_bound_to(
    auth: Authenticator, store: Store, plural: str, name: str
) -> None:
    token, _ = auth.service_accounts.issue("user-bob", "notebook", pod="nb-0")
    gone = store.delete(by_plural("", plural), "user-bob", name)
    with pytest.raises(Unauthenticated):
        auth.user_of_token(token)
    del gone["metadata"]["uid"]
    store.create(gone)  # the same name, and not the same object
    with pytest.raises(Unauthenticated, match="was replaced"):
        auth.user_of_token(token)


def test_no_token_for_an_account_that_is_not_there(auth: Authenticator) -> None:
    with pytest.raises(NotFound):
        auth.service_accounts.issue("user-bob", "nobody")


def test_client_certificate_gives_name_and_groups(auth: Authenticator) -> None:
    subject = ((("organizationName", "system:masters"),), (("commonName", "kubernetes-admin"),))
    user = auth.authenticate("Bearer ignored", {"subject": subject})
    assert user.name == "kubernetes-admin"
    assert "system:masters" in user.groups
