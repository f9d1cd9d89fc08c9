"""Generate the pages of the reference from the code.

    python tools/reference.py FOLDER

`docs/conf.py` calls `write` at each build, and the pages are not committed. The magics come from their parsers, the
settings from their traits, the errors from the class hierarchy, and the Python API from ``__all__``.
"""

from __future__ import annotations

import argparse
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import sspcloud_magics as ssp
from sspcloud_magics import errors
from sspcloud_magics.magics import _CLASSES
from sspcloud_magics.magics.settings import SSPCloud
from sspcloud_magics.sandbox import cli

ROOMS = {
    "LoginMagics": "Log in",
    "DoctorMagics": "Diagnose",
    "ListingMagics": "See what runs",
    "ObjectMagics": "Objects of any kind",
    "ForwardingMagics": "Forward",
    "QueryingMagics": "Query",
    "TableMagics": "Tables",
    "SharingMagics": "Share",
    "SandboxMagics": "Practise",
    "PanelMagics": "Open the panel",
}
"""The chapters of the magics' page, by the class of the magics."""

API = {
    "The cluster": ("login", "whoami", "use_namespace", "pods", "services", "doctor"),
    "Objects": (
        "apply",
        "get",
        "get_yaml",
        "describe",
        "logs",
        "follow_logs",
        "events",
        "delete",
        "kubernetes",
    ),
    "Forwards": ("forward", "forward_through_relay", "forwards", "unforward"),
    "Databases": (
        "databases",
        "connect_db",
        "connection",
        "connect_client",
        "forget_client",
        "endpoint",
        "close",
    ),
    "Queries": (
        "query_db",
        "tables",
        "describe_table",
        "load_table",
        "transaction",
        "engine",
        "duckdb",
        "read_dask",
    ),
    "Shares": ("share", "share_db", "shares", "unshare", "preview_share", "shareable_schemas"),
    "The panel and the language": ("panel", "language"),
}
"""The chapters of the Python page; all other names are in a last one."""


_TOGETHER = "\N{NO-BREAK SPACE}"


def magics() -> str:
    """Return the page of all magics."""
    parts = [
        ("# Magics\n\nIn a notebook, `%forward?` shows the same help. Tab completes names and options.\n")
    ]
    for kind in _CLASSES:
        parts.append(f"## {ROOMS.get(kind.__name__, kind.__name__)}\n")
        cells = kind.magics["cell"]
        for name, attribute in {**kind.magics["line"], **cells}.items():
            parts.append(_magic(name, getattr(kind, attribute), for_cells=name in cells))
    return "\n".join(parts)


def _magic(name: str, function: Any, *, for_cells: bool) -> str:
    parser: argparse.ArgumentParser = function.parser
    words = re.sub(r"\s+", " ", parser.format_usage().replace("::", "")).strip()
    # Break lines only between brackets, so that an option stays with its value.
    parts = re.sub(r"\[[^][]*\]", lambda part: part[0].replace(" ", _TOGETHER), words)
    usage = textwrap.fill(parts, 78, subsequent_indent="    ", break_on_hyphens=False).replace(_TOGETHER, " ")
    if for_cells and function.parser._actions:  # noqa: SLF001 - argparse has no public way to list them
        usage = f"%{usage}\n…\n\n%{name} …"
    title = f"({name})=\n### `%{name}`\n"
    rows = "".join(map(_argument, _arguments(parser)))
    table = f"| argument | meaning |\n|---|---|\n{rows}" if rows else ""
    return "\n".join([title, f"```text\n{usage}\n```\n", markdown(parser.description or ""), "", table])


def _arguments(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    yield from (each for each in parser._actions if each.dest != "help")  # noqa: SLF001 - as above


def _argument(action: argparse.Action) -> str:
    shown = str(action.metavar or ("" if action.nargs == 0 else action.dest.upper()))
    if action.choices and not action.metavar:
        shown = " or ".join(map(str, action.choices))
    names = ", ".join(f"`{option}`" for option in action.option_strings)
    label = " ".join(part for part in (names, f"`{shown}`" if shown else "") if part)
    text = action.help or ""
    default = action.default
    if (
        action.option_strings
        and isinstance(default, str | float | int)
        and not isinstance(default, bool)
        and default
    ):
        text += (
            ""
            if re.search(rf"\({re.escape(str(default).removesuffix('.0'))}\b", text)
            else f" (default: {default})"
        )
    return f"| {label} | {_cell(text)} |\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


def markdown(docstring: str) -> str:
    """Convert a magic's docstring to Markdown, with fenced literal blocks and single backticks."""
    lines = inspect.cleandoc(docstring).splitlines()
    written: list[str] = []
    inside = False
    for line in lines:
        if line.endswith("::"):
            written += [f"{line[:-1]}", "", "```text"]
            inside = True
            continue
        if inside and line and not line.startswith("    "):
            while not written[-1]:
                written.pop()
            written += ["```", ""]
            inside = False
        if inside:
            if line or written[-1] != "```text":
                written.append(line.removeprefix("    "))
        else:
            written.append(line.replace("``", "`"))
    if inside:
        written.append("```")
    return "\n".join(written)


def kinds() -> list[type[errors.SspcloudError]]:
    """Return all errors in the order of the class hierarchy."""
    found: list[type[errors.SspcloudError]] = []

    def walk(kind: type[errors.SspcloudError]) -> None:
        found.append(kind)
        for child in kind.__subclasses__():
            if child.__module__ == errors.__name__:
                walk(child)

    walk(errors.SspcloudError)
    return found


def error_page() -> str:
    """Return the page of all errors, with an anchor for each name."""
    parts = [
        (
            "# Errors\n\nA message begins with the name of its error: search this page for it. Then the message says what happened, "
            "why, and after an arrow what to do next. It knows your case, so it is more exact than this page. "
            "If the address of this site is known, the message ends with a link to the entry here; if pip installed the package from a repository, "
            "with a link to its source. `%k8s_doctor` checks the whole route.\n\nIn Python, the errors are in `sspcloud_magics.errors`. "
            "All of them are subclasses of [SspcloudError](#SspcloudError).\n"
        )
    ]
    for kind in kinds():
        first, _, hint = inspect.cleandoc(kind.__doc__ or "").partition("\n\n")
        hint = hint.partition("\n\nParameters\n")[0] if kind is errors.SspcloudError else hint
        parents = [each.__name__ for each in kind.__mro__[1:] if issubclass(each, errors.SspcloudError)]
        level = (
            "##" if (len(parents) < 2 and kind.__subclasses__()) or kind is errors.SspcloudError else "###"
        )
        if kind is errors.SspcloudError:
            hint = ""
        is_a = f" *({' < '.join(f'[{name}](#{name})' for name in parents)})*" if parents else ""
        body = re.sub(r"\s+", " ", first.replace("``", "`"))
        parts.append(
            f"({kind.__name__})=\n{level} {kind.__name__}\n\n{body}{is_a}\n\n{hint.replace('``', '`')}\n"
        )
    return "\n".join(parts)


def settings() -> str:
    """Return the page of all settings."""
    rows = "".join(
        f"| `SSPCloud.{name}` | {f'`{trait.default_value}`' if isinstance(trait.default_value, bool) else 'empty'} | {_cell(trait.help)} |\n"
        for name, trait in sorted(SSPCloud.class_traits(config=True).items())
    )
    program = cli._parser()  # noqa: SLF001 - it has the program's description
    lines = "".join(
        f"| `sspcloud-sandbox {name}` | {_cell(str(words))} |\n"
        for name, words in cli._COMMANDS.items()  # noqa: SLF001
    )
    return SETTINGS.format(rows=rows, lines=lines, program=program.description)


SETTINGS = """# Settings

The package works without any setting.

It finds your cluster in the first of these that exists:

1. the login of `%k8s_login`;
2. the settings of `%config`;
3. the token that Kubernetes mounts in a notebook service;
4. `KUBECONFIG`;
5. `~/.kube/config`.

`%k8s_whoami` shows which one it used.

## `%config SSPCloud`

In one notebook, type `%config SSPCloud.namespace = 'projet-stats'`.
For all notebooks, write `c.SSPCloud.namespace = 'projet-stats'` into `ipython_config.py`.
`%config SSPCloud` lists the current values.

| name | default | meaning |
|---|---|---|
{rows}
## The extension in each notebook

With this line in `ipython_config.py`, each notebook loads the magics, so you do not need the cell with `%load_ext`.
`ipython profile create` creates the file.

```python
c.InteractiveShellApp.extensions.append("sspcloud_magics")
```

## Environment variables

| name | meaning |
|---|---|
| `KUBECONFIG` | your kubeconfigs, with kubectl's rules |
| `HTTPS_PROXY`, `NO_PROXY` | [the proxy](../how-to/behind-a-proxy.md) before the API server |
| `SSPCLOUD_SANDBOX_HOME` | the folder of the sandbox's state, instead of `~/.local/state/sspcloud-sandbox` |
| `XDG_CACHE_HOME`, `XDG_STATE_HOME` | the folders for caches and state on this machine |
| `NO_COLOR` | no colours in a terminal |

`PGHOST`, `PGPASSWORD` and all other variables of libpq have no effect, because a notebook service sets them to the first database that it finds.

## `sspcloud-sandbox`

{program} Use this program in a terminal; `%sandbox` does the same in a notebook.

| command | what it does |
|---|---|
{lines}"""


def python_api() -> str:
    """Return the page of the Python API: each name of ``__all__`` once."""
    known = {name for names in API.values() for name in names}
    chapters = {**API, "More": tuple(name for name in ssp.__all__ if name not in known)}
    parts = [
        (
            "# Python API\n\n```python\nimport sspcloud_magics as ssp\n```\n\nEach magic calls one of these functions. "
            "Importing the package is cheap: a function imports its dependencies when you first call it. The functions raise "
            "[errors](errors.md) that say what to do next.\n"
        )
    ]
    for chapter, names in chapters.items():
        there = [name for name in names if name in ssp.__all__]
        if there:
            parts.append(f"## {chapter}\n")
            parts += [f"```{{eval-rst}}\n.. autofunction:: sspcloud_magics.{name}\n```\n" for name in there]
    return "\n".join(parts)


PAGES: dict[str, Callable[[], str]] = {
    "magics.md": magics,
    "errors.md": error_page,
    "settings.md": settings,
    "python.md": python_api,
}


def write(folder: Path) -> None:
    """Write all pages into a folder, except those that have not changed."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, page in PAGES.items():
        text, path = page(), folder / name
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
