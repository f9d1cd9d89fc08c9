from __future__ import annotations

import pytest

from sspcloud_magics.access import Access
from sspcloud_magics.errors import ServerUnreachable
from sspcloud_magics.proxies import Proxy, proxy_for
from sspcloud_magics.secret import Secret

PROXY = "http://proxy.example:3128"
PROXY_FOUND = Proxy("http", "proxy.example", 3128)


@pytest.mark.parametrize(
    ("server", "no_proxy", "used"),
    [
        ("https://api.example:6443", "", True),
        ("https://api.example:6443", "*", False),
        ("https://api.example:6443", "example", False),
        ("https://api.example:6443", "other, example", False),
        ("https://api.example:6443", "ample", True),
        ("https://api.example:6443", ".example", False),
        ("https://example:6443", ".example", True),
        ("https://api.example:6443", "*.example", False),
        ("https://API.example:6443", "api.EXAMPLE", False),
        ("https://api.example:6443", "api.example:6443", False),
        ("https://api.example:6443", "api.example:443", True),
        ("https://api.example", "api.example:443", False),
        ("https://10.43.0.1", "10.43.0.0/16", False),
        ("https://10.44.0.1", "10.43.0.0/16", True),
        ("https://10.43.0.1", "10.43.0.1", False),
        ("https://10.43.0.1", "0.1", True),
        ("https://10.43.0.1:6443", "10.43.0.1:6443", False),
        ("https://10.43.0.1:6443", "10.43.0.1:443", True),
        ("https://10.43.0.1", "nonsense/8", True),
        ("https://[fd00::1]:6443", "fd00::/8", False),
        ("https://[fd00::1]:6443", "[fd00::1]:6443", False),
        ("https://[fd00::1]:6443", "fd00::1", False),
        ("https://localhost:6443", "", False),
        ("https://127.0.0.1:6443", "", False),
        ("https://[::1]:6443", "", False),
    ],
)
def test_which_servers_are_reached_through_the_proxy(server: str, no_proxy: str, used: bool) -> None:
    found = proxy_for(Access(server=server), {"HTTPS_PROXY": PROXY, "NO_PROXY": no_proxy})
    assert str(found) == (PROXY if used else "None")


def test_environment_may_use_lower_case_and_no_scheme() -> None:
    rules = {"https_proxy": "proxy.example:3128", "no_proxy": ".svc"}
    assert proxy_for(Access(server="https://api.example"), rules) == PROXY_FOUND
    assert proxy_for(Access(server="https://api.default.svc"), rules) is None


def test_http_has_its_own_proxy() -> None:
    assert proxy_for(Access(server="http://api.example"), {"HTTPS_PROXY": PROXY}) is None
    assert proxy_for(Access(server="http://api.example"), {"HTTP_PROXY": PROXY}) == PROXY_FOUND


def test_the_configuration_wins_over_the_environment() -> None:
    access = Access(server="https://api.example", proxy=Secret("other.example:1"))
    assert proxy_for(access, {"HTTPS_PROXY": PROXY, "NO_PROXY": "*"}) == Proxy("http", "other.example", 1)


def test_user_information_is_kept_apart_and_hidden() -> None:
    rules = {"HTTPS_PROXY": "http://bob:s3cr%23et-canary@proxy.example:9"}
    found = proxy_for(Access(server="https://api.example"), rules)
    assert found is not None
    assert str(found) == "http://proxy.example:9"
    assert "canary" not in repr(found)
    assert found.authorization == Secret("Basic Ym9iOnMzY3IjZXQtY2FuYXJ5")


@pytest.mark.parametrize(
    "url",
    [
        "http://bob:canary#et@host:9",
        "http://bob:canary/et@host:9",
        "http://bob:canary?et@host:9",
        "http://bob:canary@[host:9",
        "http://bob:canary@host:port",
        "http://bob:can\nary@host:9",
        "http://bob:canary@",
        "socks5://bob:canary@host:9",
        "bob:canary#@host:9",
    ],
)
def test_url_of_no_proxy_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ServerUnreachable, match="HTTPS_PROXY") as caught:
        proxy_for(Access(server="https://api.example"), {"HTTPS_PROXY": url})
    assert "%23" in caught.value.hint
    for fault in (caught.value, caught.value.__context__, caught.value.__cause__):
        assert "canary" not in f"{fault!r} {fault}"
