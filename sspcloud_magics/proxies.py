"""Which proxy leads to a server, by the rules that kubectl follows.

The proxy of the configuration wins; else the environment's HTTPS_PROXY and HTTP_PROXY, from which
NO_PROXY excepts hosts: names with their subdomains, ``.suffixes``, addresses, networks (10.0.0.0/8),
each with or without a port, and ``*``. Loopback never goes through a proxy.
(golang.org/x/net/http/httpproxy)
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from urllib.parse import urlsplit

from sspcloud_magics.access import Access


def proxy_for(access: Access, environ: Mapping[str, str] | None = None) -> str | None:
    """Return the URL of the proxy that leads to the server of `access`, None where none is needed.

    Parameters
    ----------
    access
        The server, and the proxy that its configuration names.
    environ
        The environment; the process' own where it is None.

    Examples
    --------
    >>> rules = {"HTTPS_PROXY": "proxy.example:3128", "NO_PROXY": ".svc,10.0.0.0/8"}
    >>> proxy_for(Access(server="https://api.example:6443"), rules)
    'http://proxy.example:3128'
    >>> proxy_for(Access(server="https://10.43.0.1"), rules)
    """
    if access.proxy is not None:
        return _with_scheme(access.proxy)
    environ = os.environ if environ is None else environ
    server = urlsplit(access.server)
    name = f"{server.scheme}_proxy"
    proxy = environ.get(name.upper()) or environ.get(name) or ""
    if not proxy or _excepted(
        server.hostname or "", server.port or _default_port(server.scheme), _no_proxy(environ)
    ):
        return None
    return _with_scheme(proxy)


def _no_proxy(environ: Mapping[str, str]) -> str:
    return environ.get("NO_PROXY") or environ.get("no_proxy") or ""


def _with_scheme(proxy: str) -> str:
    return proxy if "://" in proxy else f"http://{proxy}"


def _default_port(scheme: str) -> int:
    return 443 if scheme == "https" else 80


def _excepted(host: str, port: int, rules: str) -> bool:
    address = _address(host)
    if host == "localhost" or (address is not None and address.is_loopback):
        return True
    return any(_matches(rule.strip().lower(), host, address, port) for rule in rules.split(","))


def _matches(
    rule: str, host: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address | None, port: int
) -> bool:
    if rule in ("", "*"):
        return rule == "*"
    if address is not None and "/" in rule:
        try:
            return address in ipaddress.ip_network(rule, strict=False)
        except ValueError:
            return False
    name, _, rule_port = rule.rpartition(":")
    if name and rule_port.isdigit() and _address(rule) is None:
        if int(rule_port) != port:
            return False
        rule = name.strip("[]")
    if address is not None:
        return _address(rule) == address
    rule = rule.removeprefix("*")
    return host.endswith(rule) if rule.startswith(".") else host == rule or host.endswith(f".{rule}")


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return None
