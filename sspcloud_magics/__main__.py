"""The command ``sspcloud``: what the magics do, in a terminal."""

from __future__ import annotations

import argparse
import re
import sys
import threading
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from sspcloud_magics.errors import SspcloudError
from sspcloud_magics.i18n import _, current, in_language
from sspcloud_magics.i18n.command_line import Parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command, print its answer, and return the exit code: 0, or 1 after an error or if a check fails.

    Parameters
    ----------
    arguments
        The arguments of the command line; those of ``sys.argv`` if None.
    """
    given = _make_parser().parse_args(arguments)
    # By name: importing this module must not import the whole session.
    session = import_module("sspcloud_magics.session")
    session.configure(session.ClusterChoice(kubeconfig=given.kubeconfig, context=given.context))
    try:
        return _COMMANDS[given.order](session, given)
    except SspcloudError as error:
        sys.stderr.write(f"{_translate_magics(str(error))}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        session.close()


def _make_parser() -> argparse.ArgumentParser:
    parser = Parser(prog="sspcloud", description=_("sspcloud_magics in a terminal"))
    commands = parser.add_subparsers(dest="order", required=True)

    def add(name: str, summary: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=summary, description=summary)
        command.add_argument("-n", "--namespace", help=_("the namespace, instead of your own"))
        command.add_argument(
            "--kubeconfig", metavar="FILE", help=_("a kubeconfig to use instead of the default")
        )
        command.add_argument("--context", metavar="NAME", help=_("a context of the kubeconfig"))
        return command

    connect = add("connect", _("open a port to a database for another client, until Ctrl-C"))
    connect.add_argument(
        "database", metavar="NAME", help=_("a database, such as user-alice/postgresql-cnpg-951239")
    )
    connect.add_argument(
        "--for", dest="client", default="psql", help=_("the client: r, psql, dbeaver or qgis (psql)")
    )
    connect.add_argument("--forget", action="store_true", help=_("remove the stored login, and open nothing"))
    forward = add("forward", _("open a local port that leads to a pod or a service, until Ctrl-C"))
    forward.add_argument("target", help=_("a pod, a service or a workload"))
    forward.add_argument("ports", nargs="*", help=_("REMOTE or LOCAL:REMOTE"))
    pods = add("pods", _("list the pods"))
    pods.add_argument("pattern", nargs="?", help=_("part of a name, or a pattern such as 'mon-api*'"))
    add("databases", _("list the databases that you can connect to"))
    share = add("share", _("share a database or a service (svc/NAME) with colleagues"))
    share.add_argument("target", help=_("one of your databases, or svc/NAME"))
    share.add_argument(
        "--with",
        dest="colleagues",
        nargs="+",
        required=True,
        help=_("the accounts of colleagues, such as bob"),
    )
    share.add_argument("--for", dest="duration", default="7d", help=_("the duration: 7d, 12h, 1d12h (7d)"))
    share.add_argument("--dry-run", action="store_true", help=_("show the plan, and do nothing"))
    add("shares", _("list your shares"))
    unshare = add("unshare", _("revoke shares"))
    unshare.add_argument("target", help=_("one of your databases, or svc/NAME"))
    unshare.add_argument("colleagues", nargs="+", help=_("the colleagues whose shares to revoke"))
    doctor = add("doctor", _("check the cluster and a target, and say how to fix each problem"))
    doctor.add_argument("target", nargs="?", help=_("a pod, a service or a database"))
    doctor.add_argument("--json", action="store_true", help=_("print the report as JSON"))
    doctor.add_argument("--redacted", action="store_true", help=_("hide tokens and names of people"))
    return parser


def _translate_magics(text: str) -> str:
    """Write the magics of a text as commands of the terminal, where one does the same; others need a notebook."""

    def translate(found: re.Match[str]) -> str:
        name, rest = found.groups()
        order = name.removeprefix("k8s_").removesuffix("_db")
        known = {"connect": {"-n", "--for", "--forget"}, "share": {"--with", "--for", "--dry-run"}}
        options = set(re.findall(r"(?<!\S)--?[a-z][\w-]*", rest))
        line = f"sspcloud {order}{rest}"  # not translated: a command
        return line if options <= known.get(order, {"-n"}) else found[0]

    return re.sub(
        r"%((?:k8s_(?:pods|doctor)|databases|connect_db|share_db|shares?|unshare|forward)\b)(.*)",
        translate,
        text,
    )


def _say(answer: object) -> int:
    sys.stdout.write(f"{answer!r}\n")
    sys.stdout.flush()
    return 0


def _stay(answer: object) -> int:
    """Print an answer, and keep its port open until Ctrl-C."""
    sys.stdout.write(_translate_magics(f"{answer!r}\n"))
    sys.stdout.flush()
    sys.stderr.write(_("Ctrl-C closes the port.") + "\n")
    threading.Event().wait()
    return 0


def _connect(session: Any, given: argparse.Namespace) -> int:
    if given.forget:
        known = session.forget_client(given.database, namespace=given.namespace)
        sys.stdout.write((_("The stored login is removed.") if known else _("No login was stored.")) + "\n")
        return 0
    return _stay(session.connect_client(given.database, given.client, namespace=given.namespace))


def _share(session: Any, given: argparse.Namespace) -> int:
    call = session.share if "svc/" in given.target else session.share_db
    return _say(call(given.target, given.colleagues, duration=given.duration, dry_run=given.dry_run))


def _unshare(session: Any, given: argparse.Namespace) -> int:
    for each in session.unshare(given.target, given.colleagues):
        sys.stdout.write(f"{each.words}\n")
    return 0


def _doctor(session: Any, given: argparse.Namespace) -> int:
    # Programs read the JSON, so it is the same in each language.
    with in_language("en" if given.json else current()):
        report = session.doctor(given.target, namespace=given.namespace, redacted=given.redacted)
        sys.stdout.write(f"{report.to_json() if given.json else _translate_magics(str(report))}\n")
    return 0 if report.healthy else 1


_COMMANDS: dict[str, Callable[[Any, argparse.Namespace], int]] = {
    "connect": _connect,
    "forward": lambda session, given: _stay(
        session.forward(given.target, *given.ports, namespace=given.namespace)
    ),
    "pods": lambda session, given: _say(session.pods(given.pattern, namespace=given.namespace)),
    "databases": lambda session, given: _say(session.databases(namespace=given.namespace)),
    "share": _share,
    "shares": lambda session, given: _say(session.shares(namespace=given.namespace)),
    "unshare": _unshare,
    "doctor": _doctor,
}


if __name__ == "__main__":
    sys.exit(main())
