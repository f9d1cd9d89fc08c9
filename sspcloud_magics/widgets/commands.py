"""The commands of the panel's buttons, each a call of the Python API.

Every command is idempotent: a forwarded port stays forwarded, a stopped forward stays stopped. An invalid command
raises `UsageProblem`, which the panel shows next to the button. The return value of a command is its reply: JSON for
the view that sent it, without secrets.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from sspcloud_magics import sandbox_session, session
from sspcloud_magics.errors import ForwardStopped, UsageProblem
from sspcloud_magics.i18n import _
from sspcloud_magics.secret import Secret
from sspcloud_magics.widgets import database_commands, pod_commands, share_commands
from sspcloud_magics.widgets.command_args import Command, number, text


def _log_in(command: Command) -> None:
    """Log in with the text of the account page's script. A file name is not accepted: errors would reveal which files exist."""
    script = command.get("script")
    if not isinstance(script, Secret):
        raise UsageProblem(
            _("The button sent no valid script."), hint=_("paste the script, or choose its file")
        )
    from sspcloud_magics.cluster import login_script  # noqa: PLC0415 - at first use

    pasted = script.reveal()
    if len(pasted) > login_script.LIMIT:
        raise UsageProblem(
            _("The pasted text is far too long for a login script."), hint=_("paste only the login script")
        )
    session.login(login_script.parse(pasted))


def _renew(_command: Command) -> None:
    session.renew()


def _use_namespace(command: Command) -> None:
    session.use_namespace(text(command, "namespace"))


def _forward(command: Command) -> None:
    # No error for the user who has stopped it while it was being opened.
    with suppress(ForwardStopped):
        session.forward(f"{text(command, 'kind')}/{text(command, 'name')}", number(command, "port"))


def _stop_forward(command: Command) -> None:
    wanted = number(command, "forward")
    for each in session.open_forwards():
        if each.id == wanted:
            each.stop()


def _restart_forward(command: Command) -> None:
    wanted = number(command, "forward")
    for each in session.open_forwards():
        if each.id == wanted:
            with suppress(ForwardStopped):
                session.restart_forward(each)


def _start_sandbox(_command: Command) -> None:
    sandbox_session.start()


def _stop_sandbox(_command: Command) -> None:
    sandbox_session.end()


def _reset_sandbox(_command: Command) -> None:
    sandbox_session.end(forget=True)


def _act_as(command: Command) -> None:
    person = text(command, "person")
    if person not in sandbox_session.PEOPLE:
        raise UsageProblem(
            _("The sandbox has no user of that name."), hint=_("choose alice, bob, carol or admin")
        )
    sandbox_session.become(person)


def _set_language(command: Command) -> None:
    name = command.get("language")
    if not isinstance(name, str):
        raise UsageProblem(_("The button sent no valid {name}.", name="language"))
    session.language(name)


def _refresh(_command: Command) -> None:
    """Do nothing: the cluster is polled after each command."""


COMMANDS: dict[str, Callable[[Command], Any]] = {
    "log_in": _log_in,
    "renew": _renew,
    "use_namespace": _use_namespace,
    "forward": _forward,
    "stop_forward": _stop_forward,
    "restart_forward": _restart_forward,
    "read_log": pod_commands.read_log,
    "list_events": pod_commands.list_events,
    "connect": database_commands.connect,
    "disconnect": database_commands.disconnect,
    "list_tables": database_commands.list_tables,
    "describe_table": database_commands.describe_table,
    "list_schemas": share_commands.list_schemas,
    "preview_share": share_commands.preview_share,
    "share": share_commands.share,
    "preview_service_share": share_commands.preview_service_share,
    "share_service": share_commands.share_service,
    "revoke": share_commands.revoke,
    "revoke_all": share_commands.revoke_all,
    "list_sessions": share_commands.list_sessions,
    "start_sandbox": _start_sandbox,
    "stop_sandbox": _stop_sandbox,
    "reset_sandbox": _reset_sandbox,
    "act_as": _act_as,
    "set_language": _set_language,
    "refresh": _refresh,
}

WITHOUT_CLUSTER_CHANGES = frozenset(
    {
        "forward",
        "disconnect",
        "stop_forward",
        "restart_forward",
        "read_log",
        "list_events",
        "list_tables",
        "describe_table",
        "list_schemas",
        "preview_share",
        "preview_service_share",
        "list_sessions",
    }
)
"""Commands that change nothing in the cluster: it is polled after them only if they fail."""


def run_command(command: Command) -> Any:
    """Run a command, and return its reply.

    Parameters
    ----------
    command
        ``do`` is the name of the command; the other items are its arguments.

    Returns
    -------
    Any
        The reply, as a value for JSON; None for a command without one.

    Raises
    ------
    SspcloudError
        An error of the Python API, or `UsageProblem` for an unknown command.
    """
    function = COMMANDS.get(str(command.get("do")))
    if function is None:
        raise UsageProblem(
            _("The panel does not know that button."), hint=_("reload the page, and run the cell again")
        )
    return function(command)
