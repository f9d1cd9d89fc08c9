"""A client of the account page of a running sandbox: login scripts and logout."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlencode

import yaml

from sspcloud_magics.i18n import _, quote_words
from sspcloud_magics.sandbox.daemon import SandboxError, default_home, kubeconfig, status


def login_script(
    person: str = "alice",
    home: Path | None = None,
    *,
    id_token_seconds: int | None = None,
    login_seconds: int | None = None,
    bound: bool = False,
    audience: str | None = None,
) -> str:
    """Return a login script: four ``kubectl config`` commands with new tokens.

    Parameters
    ----------
    person
        ``alice``, ``bob`` or ``carol``.
    home
        The sandbox's directory; the user's default if None.
    id_token_seconds, login_seconds
        How long the ID token is valid, and how long it can be renewed.
    bound
        Whether a renewal requires a DPoP proof, so that no other program can renew the login.
    audience
        The audience of the ID token, if it is not for this cluster.

    Raises
    ------
    SandboxError
        If no sandbox runs there, or it has no such person.
    """
    asked: dict[str, str | int | None] = {
        "id-token-seconds": id_token_seconds,
        "login-seconds": login_seconds,
        "bound": "true" if bound else None,
        "audience": audience,
    }
    query = urlencode({key: value for key, value in asked.items() if value is not None})
    return _ask(person, home, f"/account/script?{query}", "GET")


def log_out(person: str = "alice", home: Path | None = None) -> None:
    """End all logins of a person: their tokens can no longer be renewed."""
    _ask(person, home, "/account/logout", "POST")


def _ask(person: str, home: Path | None, path: str, method: str) -> str:
    home = home or default_home()
    user = yaml.safe_load(kubeconfig(person, home).read_text())["users"][0]["user"]
    if "token" not in user:
        raise SandboxError(
            _("{person} has no account page.", person=person), hint=_("choose alice, bob or carol")
        )
    if not status(home).running:
        raise SandboxError(
            _("The sandbox is not running."),
            hint="sspcloud-sandbox start",  # not translated: a command
        )
    issuer = json.loads((home / "server.json").read_text())["issuer"]
    request = urllib.request.Request(  # noqa: S310 - our own https address
        issuer + path,
        headers={"Authorization": f"Bearer {user['token']}"},  # not translated: a header
        method=method,
    )
    context = ssl.create_default_context(cafile=str(home / "certificates" / "ca.crt"))
    opener = urllib.request.build_opener(
        urllib.request.HTTPSHandler(context=context), urllib.request.ProxyHandler({})
    )
    try:
        with opener.open(request, timeout=30) as response:
            return str(response.read().decode())
    except (urllib.error.URLError, OSError) as error:
        raise SandboxError(
            _("The sandbox's account page does not respond."), why=quote_words(str(error))
        ) from None
