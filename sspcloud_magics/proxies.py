"""Proxy selection by the rules of kubectl.

The proxy of the configuration has priority over HTTPS_PROXY and HTTP_PROXY in the environment. NO_PROXY
excludes hosts from the latter: names with their subdomains, ``.suffixes``, addresses, networks (10.0.0.0/8),
each with or without a port, and ``*``. Loopback addresses never use a proxy.
(golang.org/x/net/http/httpproxy)
"""

from __future__ import annotations

import base64
import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from sspcloud_magics import addresses
from sspcloud_magics.access import Access
from sspcloud_magics.errors import ServerUnreachable
from sspcloud_magics.i18n import _
from sspcloud_magics.secret import Secret, without_frames


@dataclass(frozen=True, slots=True)
class Proxy:
    """The address of a proxy, and the login to it."""

    # The address; the scheme is ``http`` or ``https``.
    scheme: str
    host: str
    port: int
    # The value of the ``Proxy-Authorization`` header; None for a proxy without a login.
    authorization: Secret | None = None

    def __str__(self) -> str:
        return str(addresses.Address(self.scheme, self.host, self.port, "", None))


@without_frames
def proxy_for(access: Access, environ: Mapping[str, str] | None = None) -> Proxy | None:
    """Return the proxy for the server of `access`; None for a direct connection.

    Parameters
    ----------
    access
        The server, and the configured proxy.
    environ
        The environment variables; those of the process if None.

    Examples
    --------
    >>> rules = {"HTTPS_PROXY": "proxy.example:3128", "NO_PROXY": ".svc,10.0.0.0/8"}
    >>> print(proxy_for(Access(server="https://api.example:6443"), rules))
    http://proxy.example:3128
    >>> proxy_for(Access(server="https://10.43.0.1"), rules)
    """
    if access.proxy is not None:
        return _parse(access.proxy, "proxy-url", access.server)
    environ = os.environ if environ is None else environ
    server = urlsplit(access.server)
    variable = f"{server.scheme}_proxy"
    names = [each for each in (variable.upper(), variable) if environ.get(each)]
    if not names or _is_excepted(
        server.hostname or "", server.port or _default_port(server.scheme), _no_proxy(environ)
    ):
        return None
    return _parse(Secret(environ[names[0]]), names[0], access.server)


def _no_proxy(environ: Mapping[str, str]) -> str:
    return environ.get("NO_PROXY") or environ.get("no_proxy") or ""


def _parse(url: Secret, source: str, server: str) -> Proxy:
    text = url.reveal().strip()
    found = addresses.parse(text if "://" in text else f"http://{text}")
    if found is None or found.scheme not in ("http", "https"):
        form = _("The form is http://HOST:PORT, or http://USER:PASSWORD@HOST:PORT.")
        scheme = _("Its scheme is {scheme}.", scheme=found.scheme) if found is not None else ""
        # The text is not quoted: a password may be anywhere in it.
        raise ServerUnreachable(
            _(
                "The proxy for {server} cannot be used: {source} is not the address of a proxy.",
                server=server,
                source=source,
            ),
            why=f"{scheme} {form}".lstrip(),
            hint=_(
                "correct {source}; in a user or a password write %23 for #, %2F for /, %3F for ?, %40 for @",
                source=source,
            ),
        ) from None
    header = None
    if found.user_info is not None:
        encoded = base64.b64encode(found.user_info.reveal().encode()).decode()
        header = Secret(f"Basic {encoded}")  # not translated: a header
    return Proxy(found.scheme, found.host, found.port or _default_port(found.scheme), header)


def _default_port(scheme: str) -> int:
    return 443 if scheme == "https" else 80


def _is_excepted(host: str, port: int, rules: str) -> bool:
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
    name, _unused, rule_port = rule.rpartition(":")
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
