"""What a click asks for: a table of orders, each a call of the Python API.

Every order is idempotent: a port that is forwarded stays forwarded, what is stopped stays stopped. An order that
does not fit is a `UsageProblem`, told beside its button. What an order returns is its answer: JSON for the view
that gave it, and never anything secret.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from sspcloud_magics import sandbox_session, session
from sspcloud_magics.errors import ForwardStopped, UsageProblem
from sspcloud_magics.secret import Secret
from sspcloud_magics.widgets import database_commands
from sspcloud_magics.widgets.command_args import Order, number, text


def _log_in(order: Order) -> None:
    """Log in with the account page's script: a page names no file, since the answer would tell which files there are."""
    script = order.get("script")
    if not isinstance(script, Secret):
        raise UsageProblem(
            "The button did not say which script it means.", hint="paste the script, or choose its file"
        )
    from sspcloud_magics.cluster import login_script  # noqa: PLC0415 - at first use

    pasted = script.reveal()
    if len(pasted) > login_script.LIMIT:
        raise UsageProblem("What was pasted is far too long for a login script.")
    session.login(login_script.parse(pasted))


def _renew(_order: Order) -> None:
    session.renew()


def _use_namespace(order: Order) -> None:
    session.use_namespace(text(order, "namespace"))


def _forward(order: Order) -> None:
    # Who stops it while it is being opened knows, and is told nothing.
    with suppress(ForwardStopped):
        session.forward(f"{text(order, 'kind')}/{text(order, 'name')}", number(order, "port"))


def _stop(order: Order) -> None:
    wanted = number(order, "forward")
    for each in session.open_forwards():
        if each.id == wanted:
            each.stop()


def _restart(order: Order) -> None:
    wanted = number(order, "forward")
    for each in session.open_forwards():
        if each.id == wanted:
            with suppress(ForwardStopped):
                session.restart_forward(each)


def _start_sandbox(_order: Order) -> None:
    sandbox_session.start()


def _stop_sandbox(_order: Order) -> None:
    sandbox_session.end()


def _reset_sandbox(_order: Order) -> None:
    sandbox_session.end(forget=True)


def _become(order: Order) -> None:
    person = text(order, "person")
    if person not in sandbox_session.PEOPLE:
        raise UsageProblem("Nobody of that name is in the sandbox.", hint="alice, bob, carol or admin")
    sandbox_session.become(person)


def _look_again(_order: Order) -> None:
    """Nothing but what follows every order: the cluster is asked anew."""


ORDERS: dict[str, Callable[[Order], Any]] = {
    "log in": _log_in,
    "renew": _renew,
    "namespace": _use_namespace,
    "forward": _forward,
    "stop": _stop,
    "restart": _restart,
    "connect": database_commands.connect,
    "tables": database_commands.tables,
    "columns": database_commands.columns,
    "schemas": database_commands.schemas,
    "plan share": database_commands.plan_share,
    "share": database_commands.share,
    "revoke": database_commands.revoke,
    "sessions": database_commands.sessions,
    "start sandbox": _start_sandbox,
    "stop sandbox": _stop_sandbox,
    "reset sandbox": _reset_sandbox,
    "become": _become,
    "look again": _look_again,
}

WITHOUT_TRACE = frozenset(
    {"forward", "stop", "restart", "tables", "columns", "schemas", "plan share", "sessions"}
)
"""Orders that change nothing in the cluster: unless they fail, it is not asked anew behind them."""


def carry_out(order: Order) -> Any:
    """Do what a click asks for; returns when it is done.

    Parameters
    ----------
    order
        ``do`` names the order, the rest its arguments.

    Returns
    -------
    Any
        What the order has found, as JSON has it; None where it finds nothing.

    Raises
    ------
    SspcloudError
        What the Python API raises, or `UsageProblem` where there is no such order.
    """
    known = ORDERS.get(str(order.get("do")))
    if known is None:
        raise UsageProblem(
            "The panel does not know that button.", hint="reload the page, and run the cell again"
        )
    return known(order)
