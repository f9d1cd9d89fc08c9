from __future__ import annotations

import pytest

from sspcloud_magics.access import Access
from sspcloud_magics.proxies import proxy_for

PROXY = "http://proxy.example:3128"


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
    assert found == (PROXY if used else None)


def test_the_environment_may_write_in_lower_case_and_leave_out_the_scheme() -> None:
    rules = {"https_proxy": "proxy.example:3128", "no_proxy": ".svc"}
    assert proxy_for(Access(server="https://api.example"), rules) == PROXY
    assert proxy_for(Access(server="https://api.default.svc"), rules) is None


def test_http_has_its_own_proxy() -> None:
    assert proxy_for(Access(server="http://api.example"), {"HTTPS_PROXY": PROXY}) is None
    assert proxy_for(Access(server="http://api.example"), {"HTTP_PROXY": PROXY}) == PROXY


def test_the_configuration_wins_over_the_environment() -> None:
    access = Access(server="https://api.example", proxy="other.example:1")
    assert proxy_for(access, {"HTTPS_PROXY": PROXY, "NO_PROXY": "*"}) == "http://other.example:1"
