"""An `Access` crosses the pipe whole, and hides its secrets everywhere else."""

from dataclasses import replace

from sspcloud_magics.access import Access
from sspcloud_magics.secret import Secret

FULL = Access(
    server="https://apiserver.example:6443/k8s",
    ca="-----BEGIN CERTIFICATE-----",
    insecure_skip_tls_verify=True,
    tls_server_name="kubernetes",
    token=Secret("canary-token"),
    client_certificate="-----BEGIN CERTIFICATE-----",
    client_key=Secret("canary-key"),
    proxy=Secret("http://canary@proxy.example:3128"),
)


def test_it_comes_back_from_the_wire_as_it_was():
    assert Access.from_wire(FULL.to_wire()) == FULL


def test_what_is_not_set_stays_unset():
    bare = Access(server="https://apiserver.example")
    assert Access.from_wire(bare.to_wire()) == bare


def test_its_repr_shows_no_secret():
    assert "canary" not in repr(FULL)


def test_a_token_goes_over_tls_only():
    assert FULL.authorization == Secret("Bearer canary-token")
    plain = replace(FULL, server="http://localhost:8001")
    assert plain.authorization is None
    assert replace(plain, credentials_without_tls=True).authorization == Secret("Bearer canary-token")
