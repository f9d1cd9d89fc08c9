"""The logins of the identity provider and the lifetimes of their tokens."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from sspcloud_magics.sandbox.auth.jws import InvalidToken, Signer
from sspcloud_magics.sandbox.auth.tokens import new_signing_key
from sspcloud_magics.sandbox.oidc.issuer import CLIENT_ID, Issuer, Refused

URL = "https://issuer.example/realms/sandbox"
KEY = new_signing_key()


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def issuer(clock: Callable[[], float]) -> Issuer:
    return Issuer(URL, KEY, clock=clock)


def refresh_refused(issuer: Issuer, token: str, client: str = CLIENT_ID) -> tuple[str, str]:
    with pytest.raises(Refused) as no:
        issuer.refresh(token, client)
    return no.value.code, no.value.description


def test_id_token_is_a_prefixed_user_until_its_end(issuer: Issuer, clock: Clock) -> None:
    token = issuer.log_in("bob", id_token_seconds=60).id_token
    assert issuer.user_of_token(token).name == "oidc-bob"
    clock.now += 60
    with pytest.raises(InvalidToken, match="expired"):
        issuer.user_of_token(token)


def test_the_prefix_is_what_it_is_set_to(clock: Clock) -> None:
    issuer = Issuer(URL, KEY, username_prefix="keycloak:", clock=clock)
    assert issuer.user_of_token(issuer.log_in("bob").id_token).name == "keycloak:bob"


def test_refresh_token_is_used_once_or_ends_the_login(issuer: Issuer) -> None:
    first = issuer.log_in("bob")
    second = issuer.refresh(first.refresh_token, CLIENT_ID)
    assert issuer.user_of_token(second.id_token).name == "oidc-bob"
    assert second.refresh_token != first.refresh_token
    assert refresh_refused(issuer, first.refresh_token)[0] == "invalid_grant"
    assert refresh_refused(issuer, second.refresh_token) == ("invalid_grant", "Session not active")


def test_logins_are_carried_over_a_restart(issuer: Issuer, clock: Clock) -> None:
    issuer.log_in("carol", login_seconds=1)
    pair = issuer.log_in("bob")
    clock.now += 1
    carried = json.loads(json.dumps(issuer.logins()))
    assert [login["person"] for login in carried.values()] == ["bob"], "carol's has ended"
    changes: list[None] = []
    after = Issuer(URL, KEY, clock=clock, logins=carried, changed=lambda: changes.append(None))
    again = after.refresh(pair.refresh_token, CLIENT_ID)
    assert refresh_refused(after, pair.refresh_token)[0] == "invalid_grant"
    assert refresh_refused(after, again.refresh_token) == ("invalid_grant", "Session not active")
    assert len(changes) == 2, "a renewal, and the end of the login"


def test_login_ends_in_time_however_often_renewed(issuer: Issuer, clock: Clock) -> None:
    pair = issuer.log_in("bob", login_seconds=100)
    clock.now += 99
    pair = issuer.refresh(pair.refresh_token, CLIENT_ID)
    clock.now += 1
    assert refresh_refused(issuer, pair.refresh_token) == ("invalid_grant", "Token is not active")


def test_foreign_refresh_token_is_refused(issuer: Issuer) -> None:
    pair = issuer.log_in("bob")
    other = Issuer(URL, new_signing_key()).log_in("bob")
    for token in ("", "x", pair.id_token, other.refresh_token):
        assert refresh_refused(issuer, token)[0] == "invalid_grant"
    assert refresh_refused(issuer, pair.refresh_token, "another-client")[0] == "invalid_client"


def test_bound_login_wants_a_proof_and_may_be_ended(issuer: Issuer) -> None:
    bound, free = issuer.log_in("bob", bound=True), issuer.log_in("alice")
    assert "DPoP" in refresh_refused(issuer, bound.refresh_token)[1]
    issuer.log_out("bob")
    assert refresh_refused(issuer, bound.refresh_token)[1] == "Session not active"
    assert issuer.refresh(free.refresh_token, CLIENT_ID)


def test_api_server_takes_id_tokens_for_itself_only(issuer: Issuer) -> None:
    pair = issuer.log_in("bob", audience="nextcloud")
    elsewhere = Issuer("https://other.example", KEY).log_in("bob")
    for token, why in (
        (pair.id_token, "audience"),
        (pair.refresh_token, "provider"),
        (elsewhere.id_token, "provider"),
        (issuer.log_in("bob").id_token[:-4] + "AAAA", "not a token"),
    ):
        with pytest.raises(InvalidToken, match=why):
            issuer.user_of_token(token)


def test_the_published_key_belongs_to_the_tokens(issuer: Issuer) -> None:
    [key] = issuer.keys()["keys"]
    assert key == Signer(KEY).jwk()
    assert set(key) == {"kty", "use", "alg", "kid", "n", "e"}
    assert key["e"] == "AQAB"
