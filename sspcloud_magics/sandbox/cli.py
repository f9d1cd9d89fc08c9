"""``sspcloud-sandbox``: the sandbox from a terminal."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from sspcloud_magics.sandbox import daemon

_ORDERS = {
    "start": "start it in the background, and wait until its pods are ready",
    "status": "say whether it runs, and where",
    "env": 'print the line that points a shell at it: eval "$(sspcloud-sandbox env --as bob)"',
    "login-script": "print the login script that the account page would show: … --as bob > config.sh",
    "stop": "stop it, with all its pods, and keep what was done in it",
    "restart-api-server": "break every connection, as an upgrade of the cluster does; pods run on",
    "reset": "forget everything in it, and start afresh if it ran",
    "serve": "run it in the foreground, until Ctrl-C",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one order and return the exit code: 0, or 1 with a word on standard error.

    Parameters
    ----------
    arguments
        What stands behind the program's name; ``sys.argv`` where it is None.
    """
    options = _parser().parse_args(arguments)
    try:
        return _obey(options)
    except daemon.SandboxError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _obey(options: argparse.Namespace) -> int:
    home: Path | None = options.home
    if options.order == "serve":
        from sspcloud_magics.sandbox import server  # noqa: PLC0415 - brings the whole cluster along

        server.serve(
            home or daemon.default_home(), ready_fd=options.ready_fd, with_parent=options.with_parent
        )
    elif options.order == "env":
        path = daemon.kubeconfig(options.person, home)
        print(f"export KUBECONFIG={shlex.quote(str(path))}")
    elif options.order == "login-script":
        from sspcloud_magics.sandbox import account  # noqa: PLC0415 - brings an HTTP client along

        print(
            account.login_script(
                options.person,
                home,
                id_token_seconds=options.id_token_seconds,
                login_seconds=options.login_seconds,
            ),
            end="",
        )
    elif options.order == "status":
        found = daemon.status(home)
        print(found)
        return 0 if found.running else 1
    else:
        orders: dict[str, Callable[[Path | None], daemon.Status]] = {
            "start": daemon.start,
            "stop": partial(daemon.stop, progress=_tell),
            "restart-api-server": daemon.restart_api_server,
            "reset": partial(daemon.reset, progress=_tell),
        }
        print(orders[options.order](home))
        if options.order == "start":
            print('Point a shell at it:  eval "$(sspcloud-sandbox env --as bob)"')
    return 0


def _tell(words: str) -> None:
    print(words, "…", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sspcloud-sandbox",
        description="A practice cluster on this machine: real Postgres, real rights, no account.",
    )
    orders = parser.add_subparsers(dest="order", metavar="|".join(_ORDERS))
    parser.set_defaults(order="status", home=None)
    for name, words in _ORDERS.items():
        order = orders.add_parser(name, help=words, description=words.capitalize() + ".")
        order.add_argument(
            "--home",
            type=Path,
            help="its directory (default: $SSPCLOUD_SANDBOX_HOME, or one for each user)",
        )
        if name == "login-script":
            order.add_argument(
                "--id-token-seconds", type=int, metavar="N", help="how long the token is valid (900)"
            )
            order.add_argument(
                "--login-seconds", type=int, metavar="N", help="how long it can be renewed (a week)"
            )
        if name in ("env", "login-script"):
            order.add_argument(
                "--as", dest="person", default="alice", metavar="PERSON", help=", ".join(daemon.PEOPLE)
            )
        if name == "serve":
            order.add_argument(
                "--with-parent", action="store_true", help="end when standard input closes, and keep nothing"
            )
            order.add_argument("--ready-fd", type=int, help=argparse.SUPPRESS)
    return parser
