"""The platform, an instance of Onyxia: the addresses of its pages, its prefixes of names, and its language.

``%config SSPCloud.platform`` or `VARIABLE` names it. Otherwise the hosts of the API server, of S3 and of Vault tell whether
it is SSPCloud. If they tell nothing, as with the sandbox, SSPCloud is assumed: this is the only module that knows its address.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from urllib.parse import quote, urlsplit

VARIABLE = "SSPCLOUD_PLATFORM"
"""The environment variable with the platform's URL, for images of other platforms."""

# The images of Onyxia set these to addresses of their platform.
_ADDRESSES = ("AWS_S3_ENDPOINT", "VAULT_ADDR")
# Names of one machine or of a cluster's own network, and IP addresses: they tell nothing.
_PRIVATE = re.compile(
    r"[^.]*|[\d.]+|.*:.*|.*\.(svc|local|localhost|internal|test|invalid)|kubernetes\.default.*"
)


@dataclass(frozen=True, slots=True)
class Platform:
    """An instance of Onyxia.

    Parameters
    ----------
    url
        The address of its pages; empty if it is not known.
    users, groups
        The prefixes of the namespaces of users and of groups.
    accounts
        The prefix of users and groups on the API server, where Onyxia's RoleBinding does not show it.
    language
        The language of the services, if the user chose none; English if empty.
    """

    url: str = ""
    users: str = "user-"
    groups: str = "projet-"
    accounts: str = "oidc-"
    language: str = ""

    @property
    def account_page(self) -> str:
        """The page with the login script; empty if it is not known."""
        return self._page("account")

    @property
    def services_page(self) -> str:
        """The page where a paused service is resumed; empty if it is not known."""
        return self._page("my-services")

    @property
    def storage_page(self) -> str:
        """The page with the keys to S3; empty if it is not known."""
        return self._page("account/storage")

    def launcher(self, role: str) -> str:
        """Return the page that launches a notebook service with a role of Kubernetes; empty if it is not known."""
        page = self._page("launcher/ide/jupyter-python")
        return page and f"{page}?autoLaunch=false&kubernetes.role={quote(f'«{role}»')}"

    def _page(self, path: str) -> str:
        return self.url and f"{self.url.rstrip('/')}/{path}"

    def is_namespace(self, text: str) -> bool:
        """Whether a text begins as a namespace of a user or of a group."""
        return text.startswith((self.users, self.groups))


SSPCLOUD = Platform("https://datalab.sspcloud.fr", language="fr")
_DOMAIN = SSPCLOUD.url.removeprefix("https://datalab")

# The fields that the setting names; set by `configure`.
_setting: dict[str, str] = {}
# The host of the current cluster's API server, or empty; set by `learn`.
_server = ""


def current() -> Platform:
    """Return the platform of this process."""
    return replace(detect(_server, os.environ), **_setting)


def configure(setting: Mapping[str, str]) -> None:
    """Set fields of the platform; an empty mapping leaves all of them to the detection."""
    global _setting  # noqa: PLW0603 - the platform is one for the process
    # Another address is another platform: SSPCloud's language is not its own.
    language = SSPCLOUD.language if setting.get("url", "").rstrip("/") == SSPCLOUD.url else ""
    _setting = {"language": language, **setting} if "url" in setting else dict(setting)


def learn(server: str) -> None:
    """Note the URL of the current cluster's API server, or an empty text."""
    global _server  # noqa: PLW0603 - the platform is one for the process
    _server = server


def detect(server: str, environment: Mapping[str, str]) -> Platform:
    """Return the platform that a server's URL and environment variables tell.

    Examples
    --------
    >>> detect("https://127.0.0.1:6443", {}) is SSPCLOUD
    True
    >>> detect("https://api.example.org", {})
    Platform(url='', users='user-', groups='projet-', accounts='oidc-', language='')
    >>> detect("", {"SSPCLOUD_PLATFORM": "https://datalab.example.org"}).account_page
    'https://datalab.example.org/account'
    """
    named = environment.get(VARIABLE, "")
    if named.startswith("https://") and named.isprintable():
        return SSPCLOUD if named.rstrip("/") == SSPCLOUD.url else Platform(named)
    hosts = _public_hosts([server, *(environment.get(name, "") for name in _ADDRESSES)])
    if not hosts or any(f".{host}".endswith(_DOMAIN) for host in hosts):
        return SSPCLOUD
    return Platform()


def _public_hosts(addresses: Iterable[str]) -> list[str]:
    """Return the hosts of addresses, without those of a machine or of a cluster's own network."""
    found: list[str] = []
    for address in addresses:
        try:
            host = urlsplit(address if "//" in address else f"//{address}").hostname or ""
        except ValueError:
            continue
        if not _PRIVATE.fullmatch(host):
            found.append(host)
    return found
