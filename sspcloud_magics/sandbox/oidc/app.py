"""The identity provider over HTTP: the endpoints that kubectl calls, and the account page.

The account page is one path, ``/account/script``: it returns a login script, with the requested lifetimes in
seconds, to a client with a bearer token of the sandbox. On SSPCloud you copy the same script from a web page.
"""

from __future__ import annotations

import base64
import shlex
from collections.abc import Callable

from aiohttp import web

from sspcloud_magics.sandbox.oidc.issuer import (
    CLIENT_ID,
    ID_TOKEN_SECONDS,
    LOGIN_SECONDS,
    Issuer,
    Refused,
    TokenPair,
)

REALM = "/realms/sandbox"
"""The path of the issuer's URL."""


def build_app(
    issuer: Issuer, *, find_person: Callable[[str], str | None], server: Callable[[], str], ca: str
) -> web.Application:
    """Return the provider as an application.

    `find_person`: returns the person of a bearer token of the sandbox, None for an unknown token.
    """

    async def discovery(_request: web.Request) -> web.Response:
        return web.json_response(issuer.discovery())

    async def keys(_request: web.Request) -> web.Response:
        return web.json_response(issuer.keys())

    async def token(request: web.Request) -> web.Response:
        try:
            pair = await _renew(issuer, request)
        except Refused as refused:
            body = {"error": refused.code, "error_description": refused.description}
            return web.json_response(body, status=401 if refused.code == "invalid_client" else 400)
        answer = {
            "access_token": pair.id_token,
            "token_type": "Bearer",
            "expires_in": pair.id_token_seconds,
            "id_token": pair.id_token,
            "refresh_token": pair.refresh_token,
            "refresh_expires_in": pair.login_seconds,
            "scope": "openid",
        }
        return web.json_response(answer, headers={"Cache-Control": "no-store"})

    async def script(request: web.Request) -> web.Response:
        person = _person(request, find_person)
        try:
            seconds = int(request.query.get("id-token-seconds", ID_TOKEN_SECONDS))
            login_seconds = int(request.query.get("login-seconds", LOGIN_SECONDS))
        except ValueError:
            raise web.HTTPBadRequest(text="the lifetimes must be whole numbers of seconds") from None
        pair = issuer.log_in(
            person,
            id_token_seconds=seconds,
            login_seconds=login_seconds,
            bound=request.query.get("bound") == "true",
            audience=request.query.get("audience", CLIENT_ID),
        )
        settings = {
            "idp-issuer-url": issuer.url,
            "client-id": CLIENT_ID,
            "idp-certificate-authority-data": base64.b64encode(ca.encode()).decode(),
            "refresh-token": pair.refresh_token,
            "id-token": pair.id_token,
        }
        return web.Response(text=login_script(server(), person, f"user-{person}", settings))

    async def log_out(request: web.Request) -> web.Response:
        issuer.log_out(_person(request, find_person))
        return web.Response(text="")

    app = web.Application()
    app.router.add_get(f"{REALM}/.well-known/openid-configuration", discovery)
    app.router.add_get(f"{REALM}/protocol/openid-connect/certs", keys)
    app.router.add_post(f"{REALM}/protocol/openid-connect/token", token)
    app.router.add_get("/account/script", script)
    app.router.add_post("/account/logout", log_out)
    return app


def login_script(server: str, user: str, namespace: str, settings: dict[str, str]) -> str:
    """Return the script that the account page shows, for any shell."""
    host = server.removeprefix("https://")
    arguments = " \\\n  ".join(
        f"--auth-provider-arg={shlex.quote(f'{key}={value}')}" for key, value in settings.items()
    )
    return (
        "#!/bin/sh\n"
        f"kubectl config set-cluster {host} --server={server} --insecure-skip-tls-verify=true\n"
        f"kubectl config set-credentials {user} \\\n  --auth-provider=oidc \\\n  {arguments}\n"
        f"kubectl config set-context {host} --user={user} --cluster={host} --namespace={namespace}\n"
        f"kubectl config use-context {host}\n"
    )


async def _renew(issuer: Issuer, request: web.Request) -> TokenPair:
    form = await request.post()
    if form.get("grant_type") != "refresh_token":
        raise Refused("unsupported_grant_type", "Unsupported grant_type")
    # Go's oauth2 library, which kubectl uses, may send the client in the Authorization header.
    client = str(form.get("client_id") or _basic_user(request))
    return issuer.refresh(str(form.get("refresh_token", "")), client)


def _person(request: web.Request, find_person: Callable[[str], str | None]) -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    person = find_person(token.strip()) if scheme.lower() == "bearer" else None
    if person is None:
        raise web.HTTPUnauthorized(text="a bearer token of a sandbox user is required")
    return person


def _basic_user(request: web.Request) -> str:
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(value).decode().partition(":")[0]
    except ValueError:
        return ""
