"""The command line of the sandbox: ``sspcloud-sandbox``."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from sspcloud_magics.i18n import N_, _
from sspcloud_magics.i18n.command_line import Parser
from sspcloud_magics.sandbox import daemon

_COMMANDS = {
    "start": N_("start the sandbox in the background, and wait until its pods are ready"),
    "status": N_("show whether the sandbox runs, and where"),
    "env": N_('print the line that points a shell at the sandbox: eval "$(sspcloud-sandbox env --as bob)"'),
    "login-script": N_("print the login script that the account page would show: … --as bob > config.sh"),
    "stop": N_("stop the sandbox with all its pods, and keep its data"),
    "restart-api-server": N_("break every connection, like an upgrade of the cluster; pods keep running"),
    "reset": N_("delete everything in the sandbox, and start it again if it was running"),
    "serve": N_("run the sandbox in the foreground, until Ctrl-C"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code: 0, or 1 after a message on standard error.

    Parameters
    ----------
    arguments
        The command line without the program's name; ``sys.argv`` if None.
    """
    options = _parser().parse_args(arguments)
    try:
        return _run(options)
    except daemon.SandboxError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _run(options: argparse.Namespace) -> int:
    home: Path | None = options.home
    if options.command == "serve":
        from sspcloud_magics.sandbox import server  # noqa: PLC0415 - imports the whole cluster

        server.serve(
            home or daemon.default_home(), ready_fd=options.ready_fd, with_parent=options.with_parent
        )
    elif options.command == "env":
        path = daemon.kubeconfig(options.person, home)
        print(f"export KUBECONFIG={shlex.quote(str(path))}")
    elif options.command == "login-script":
        from sspcloud_magics.sandbox import account  # noqa: PLC0415 - imports an HTTP client

        print(
            account.login_script(
                options.person,
                home,
                id_token_seconds=options.id_token_seconds,
                login_seconds=options.login_seconds,
            ),
            end="",
        )
    elif options.command == "status":
        found = daemon.status(home)
        print(found)
        return 0 if found.running else 1
    else:
        commands: dict[str, Callable[[Path | None], daemon.Status]] = {
            "start": daemon.start,
            "stop": partial(daemon.stop, progress=_print_progress),
            "restart-api-server": daemon.restart_api_server,
            "reset": partial(daemon.reset, progress=_print_progress),
        }
        print(commands[options.command](home))
        if options.command == "start":
            print(_('To use it in this shell:  eval "$(sspcloud-sandbox env --as bob)"'))
    return 0


def _print_progress(message: str) -> None:
    print(message, "…", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="sspcloud-sandbox",
        description=_("A practice cluster on this machine: real Postgres, real permissions, no account."),
    )
    commands = parser.add_subparsers(dest="command", metavar="|".join(_COMMANDS))
    parser.set_defaults(command="status", home=None)
    for name, summary in _COMMANDS.items():
        text = _(summary)
        command = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        command.add_argument(
            "--home",
            type=Path,
            help=_("the sandbox's directory (default: $SSPCLOUD_SANDBOX_HOME, or one per user)"),
        )
        if name == "login-script":
            command.add_argument(
                "--id-token-seconds", type=int, metavar="N", help=_("lifetime of the ID token (default: 900)")
            )
            command.add_argument(
                "--login-seconds", type=int, metavar="N", help=_("lifetime of the login (default: a week)")
            )
        if name in ("env", "login-script"):
            command.add_argument(
                "--as", dest="person", default="alice", metavar="PERSON", help=", ".join(daemon.PEOPLE)
            )
        if name == "serve":
            command.add_argument(
                "--with-parent",
                action="store_true",
                help=_("stop when standard input closes, and keep no data"),
            )
            command.add_argument("--ready-fd", type=int, help=argparse.SUPPRESS)
    return parser
