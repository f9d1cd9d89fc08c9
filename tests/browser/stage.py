"""The panel's view alone in a page, under JupyterLab's own themes, with states from the test instead of a kernel.

No kernel, no server: states that are hard to bring about (a server that is gone, 500 pods) are told, looked at,
measured, and examined by axe-core. What the whole does is for the tests in a real JupyterLab.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page

from tests.support.database import DATABASE_PATH as DATABASE

ROOT = Path(__file__).resolve().parent.parent.parent
STATIC = ROOT / "sspcloud_magics" / "widgets" / "static"
THEMES = Path(sys.prefix) / "share" / "jupyter" / "lab" / "themes" / "@jupyterlab"
AXE = ROOT / "labextension" / "node_modules" / "axe-core" / "axe.min.js"

ADDRESS = "http://localhost:8888/lab"

HTML = """<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>The panel</title>
<style>{theme}</style><style>{css}</style>
<style>body {{ margin: 0; background: var(--jp-layout-color1); }} main {{ padding: 8px; }}</style></head>
<body data-jp-theme-light="{light}"><main><div id="panel"></div></main><script type="module">
import panel from "data:text/javascript;base64,{code}";
const listeners = {{}};
window.sent = [];
window.model = {{
  get: name => ({{ language: "{language}", comm_id: "the-panel" }})[name] ?? "SSPCloud panel\\n  oidc-alice in user-alice",
  widget_manager: {{ kernel: {kernel} }},
  send: message => window.sent.push(message),
  on: (event, callback) => (listeners[event] ??= []).push(callback),
  off: () => undefined,
}};
window.tell = message => (listeners["msg:custom"] ?? []).forEach(callback => callback(message));
window.end = () => (listeners["comm_live_update"] ?? []).forEach(callback => callback());
const widget = panel();
widget.initialize({{ model: window.model }});
widget.render({{ model: window.model, el: document.getElementById("panel") }});
window.ready = true;
</script></body></html>"""


def stage(browser: Browser, *, width: int = 1180, height: int = 1000, scale: float = 1, **shown: Any) -> Page:
    """Open a page with the panel in it, told nothing yet; its errors are kept in `page.errors`.

    Parameters
    ----------
    browser
        The browser.
    width, height
        Of the page, in pixels.
    scale
        Pixels of the screen for one of the page.
    shown
        As for `show`.
    """
    page = browser.new_page(viewport={"width": width, "height": height}, device_scale_factor=scale)
    page.errors = []  # type: ignore[attr-defined]
    page.on("pageerror", lambda error: page.errors.append(str(error)))  # type: ignore[attr-defined]
    show(page, **shown)
    return page


def show(page: Page, *, theme: str = "light", language: str = "en", kernel: bool = True) -> None:
    """Load the panel into a page in place of what it shows.

    Parameters
    ----------
    page
        The page.
    theme
        ``light``, ``dark`` or ``dark-high-contrast``.
    language
        ``en`` or ``fr``.
    kernel
        Whether the page has a kernel.
    """
    import base64

    document = HTML.format(
        theme=(THEMES / f"theme-{theme}-extension" / "index.css").read_text(encoding="utf-8"),
        css=(STATIC / "panel.css").read_text(encoding="utf-8"),
        code=base64.b64encode((STATIC / "panel.js").read_bytes()).decode(),
        light=str(theme == "light").lower(),
        language=language,
        kernel=str(kernel).lower(),
    )
    page.unroute(ADDRESS)
    page.route(ADDRESS, lambda route: route.fulfill(body=document, content_type="text/html"))
    page.goto(ADDRESS)
    page.wait_for_function("window.ready")


def tell(page: Page, facts: dict[str, Any]) -> None:
    """Send the view a complete state, and wait until it is drawn."""
    page.evaluate("facts => window.tell({ type: 'snapshot', values: facts })", facts)
    wait_until_drawn(page)


def part(page: Page, facts: dict[str, Any]) -> None:
    """Send the view a change of its state, and wait until it is drawn."""
    page.evaluate("facts => window.tell({ type: 'changes', values: facts })", facts)
    wait_until_drawn(page)


def wait_until_drawn(page: Page) -> None:
    """Wait until the last state is drawn."""
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def answer(page: Page, name: str, found: Any) -> None:
    """Answer the last order of that name as the kernel does."""
    order = page.evaluate("name => window.sent.filter(each => each.do === name).at(-1)", name)
    reply = {"type": "reply", "key": order["key"], "id": order["id"], "value": found}
    page.evaluate("message => window.tell(message)", reply)
    part(page, {f"command/{order['key']}": {"id": order["id"], "state": "done"}})


def fail(page: Page, name: str, error: dict[str, str]) -> None:
    """Answer the last order of that name with an error."""
    order = page.evaluate("name => window.sent.filter(each => each.do === name).at(-1)", name)
    part(page, {f"command/{order['key']}": {"id": order["id"], "state": "failed", "error": error}})


def faults(page: Page, within: str = "#panel") -> list[str]:
    """Return what axe-core calls serious or critical, with where it is."""
    if not page.evaluate("'axe' in window"):
        page.add_script_tag(path=AXE)
    found = page.evaluate("within => axe.run(document.querySelector(within))", within)
    return [
        f"{each['id']}: {node['html'][:160]} {node['failureSummary'][:300]}"
        for each in found["violations"]
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
    ]


def trouble(
    code: str, what: str, why: str = "", hint: str = "", family: str = "ClusterError"
) -> dict[str, str]:
    """Return an error as the kernel tells it."""
    return {"code": code, "what": what, "why": why, "hint": hint, "family": family}


HOUR = 3600
WHO = {
    "user": "oidc-alice",
    "namespace": "user-alice",
    "namespaces": ["user-alice", "projet-enquete"],
    "server": "https://apiserver.kub.sspcloud.fr",
    "source": "context apiserver.kub.sspcloud.fr of ~/.kube/config",
    "role": "admin",
    "renews": True,
    "renewable": True,
    "unverified": True,
    "remote": False,
}
LOOKS = {f"source/{name}": True for name in ("who", "pods", "services", "databases", "shares")}


def session(now: float | None = None) -> dict[str, Any]:
    """Return the facts of a session in which much is going on."""
    now = now or time.time()
    return LOOKS | {
        "platform": {
            "account": "https://datalab.sspcloud.fr/account",
            "services": "https://datalab.sspcloud.fr/my-services",
            "groups": "projet-",
        },
        "who": WHO | {"ends": int(now) + 6 * HOUR + 720},
        "forward/1": {
            "target": "user-alice/svc/mon-api",
            "state": "active",
            "reason": "",
            "address": "localhost",
            "ports": [[8000, 80]],
            "sockets": [],
            "pod": "mon-api-abcdef-12345",
            "notes": "",
            "magic": "%forward user-alice/svc/mon-api 8000:80",
        },
        "traffic/1": [48_213, 12_582_912, 2],
        "forward/2": {
            "target": "user-alice/svc/postgresql-cnpg-951239-rw",
            "state": "reconnecting",
            "reason": "the pod postgresql-cnpg-951239-1 is gone; the next one is awaited",
            "address": "localhost",
            "ports": [[5432, 5432]],
            "sockets": [],
            "pod": "",
            "notes": "",
            "magic": f"%forward {DATABASE}-rw 5432:5432",
        },
        "traffic/2": [512, 2_048, 0],
        "pod/mon-api-abcdef-12345": pod("Running", "good", now - 7_300, [[8000, "http"]]),
        "pod/postgresql-cnpg-951239-1": pod(
            "Terminating", "bad", now - 260_000, [[5432, "postgresql"], [9187, "metrics"], [8000, "status"]]
        ),
        "pod/jupyter-python-417342-0": pod("Running", "good", now - 86_400, [[8888, "http"]]),
        "pod/train-7f9c": pod("CrashLoopBackOff", "bad", now - 900, [], restarts=7),
        "pod/vscode-pytorch-0": pod("ContainerCreating", "waiting", now - 12, [[8080, "http"]]),
        "service/mon-api": {"type": "ClusterIP", "created": int(now) - 7_300, "ports": [[80, "http"]]},
        "service/jupyter-python-417342": {
            "type": "ClusterIP",
            "created": int(now) - 86_400,
            "ports": [[80, "http"]],
        },
        "service/postgresql-cnpg-951239-rw": {
            "type": "ClusterIP",
            "created": int(now) - 260_000,
            "ports": [[5432, "postgres"]],
        },
        f"database/{DATABASE}": database("running", "good", mine=True),
        "database/user-alice/postgresql-439617": database("hibernated", "over", mine=True),
        "database/user-bob/postgresql-cnpg-204412": database("unknown", "over", mine=False),
        f"connection/{DATABASE}/alice/defaultdb": {
            "database": DATABASE,
            "user": "alice",
            "dbname": "defaultdb",
            "current": True,
        },
        "share/postgresql-cnpg-951239/bob": share("bob", now + 5 * 86_400, sessions=(2, int(now) - 4_000)),
        "share/postgresql-cnpg-951239/carol": share(
            "carol", now + 7_000, access="read-write", sessions=(0, None)
        ),
        "sandbox": {"running": False, "server": ""},
    }


def pod(state: str, tone: str, created: float, ports: list[Any], *, restarts: int = 0) -> dict[str, Any]:
    """Return the fact of a pod."""
    return {
        "state": state,
        "tone": tone,
        "ready": "1/1" if tone == "good" else "0/1",
        "restarts": restarts,
        "created": int(created),
        "ports": ports,
    }


def database(state: str, tone: str, *, mine: bool) -> dict[str, Any]:
    """Return the fact of a database."""
    name = (
        "postgresql-cnpg-951239"
        if tone == "good"
        else "postgresql-439617"
        if mine
        else "postgresql-cnpg-204412"
    )
    return {"name": name, "kind": "postgres", "state": state, "tone": tone, "mine": mine}


def share(
    colleague: str,
    until: float,
    *,
    access: str = "read-only",
    sessions: tuple[int, int | None] | None = None,
) -> dict[str, Any]:
    """Return the fact of a share."""
    return {
        "database": "postgresql-cnpg-951239",
        "colleague": colleague,
        "access": access,
        "scope": "enquete, public",
        "until": int(until),
        "state": "open",
        "tone": "good",
        "sessions": sessions,
    }


PLAN = {
    "colleagues": ["bob", "carol"],
    "read_write": False,
    "schemas": ["enquete", "public"],
    "every": ["enquete", "public"],
    "until": int(time.time()) + 7 * 86_400,
    "notes": [
        {"text": "Every user of the server has privileges in: archive.", "is_danger": True},
        {"text": "After the share ends, new logins and new tunnels are refused.", "is_danger": False},
    ],
    "sql": 'CREATE ROLE "share_bob" LOGIN;\nGRANT CONNECT ON DATABASE "defaultdb" TO "share_bob";',
    "yaml": "apiVersion: batch/v1\nkind: Job\nmetadata:\n  name: postgresql-cnpg-951239-share-bob\n",
}
SERVICE_PLAN = {
    "granted": "bob and carol may reach port 443 of svc/front for 7 days, until 8 December.",
    "colleagues": ["bob", "carol"],
    "until": int(time.time()) + 7 * 86_400,
    "notes": [
        {"text": "No network policy restricts the pods of svc/front.", "is_danger": True},
        {"text": "The share grants the address and no login.", "is_danger": False},
    ],
    "yaml": "apiVersion: batch/v1\nkind: Job\nmetadata:\n  name: svc-front-share-bob\n",
}
TABLES = {
    "tables": [
        ["enquete", "communes", "table", 34_955, 4_521_984, "Communes au 1er janvier", ""],
        ["enquete", "menages", "table", 1_204_112, 182_521_984, "", ""],
        ["public", "salaires_par_commune", "view", None, None, "", "share_carol"],
    ],
    "all": 3,
}
COLUMNS = {
    "columns": [
        ["code", "text", False, "Code officiel géographique"],
        ["nom", "text", False, ""],
        ["population", "integer", True, ""],
        ["geometrie", "jsonb", True, ""],
    ],
    "all": 4,
    "select": "SELECT code, nom, population, geometrie\nFROM enquete.communes\nLIMIT 100",
}
