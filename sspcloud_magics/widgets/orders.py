"""What a click asks for: a table of orders, each a call of the Python API.

Every order is idempotent: a port that is forwarded stays forwarded, what is stopped stays stopped. The browser
is not trusted to be well-formed: an order that does not fit is a `UsageProblem`, told beside its button.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from sspcloud_magics import practice, session
from sspcloud_magics.errors import UsageProblem

Order: TypeAlias = Mapping[str, Any]


def _text(order: Order, name: str) -> str:
    value = order.get(name)
    if not isinstance(value, str) or not value.strip() or len(value) > 512:
        raise UsageProblem(f"The button did not say which {name} it means.")
    return value.strip()


def _number(order: Order, name: str) -> int:
    value = order.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise UsageProblem(f"The button did not say which {name} it means.")
    return value


def _forward(order: Order) -> None:
    session.forward(f"{_text(order, 'kind')}/{_text(order, 'name')}", _number(order, "port"))


def _stop(order: Order) -> None:
    wanted = _number(order, "forward")
    for each in session.open_forwards():
        if each.id == wanted:
            each.stop()


def _connect(order: Order) -> None:
    session.connect_db(_text(order, "database"))


def _revoke(order: Order) -> None:
    session.unshare(_text(order, "database"), _text(order, "colleague"))


def _start_sandbox(_order: Order) -> None:
    practice.start()


def _stop_sandbox(_order: Order) -> None:
    practice.end()


def _become(order: Order) -> None:
    person = _text(order, "person")
    if person not in practice.PEOPLE:
        raise UsageProblem("Nobody of that name is in the sandbox.", mend="alice, bob, carol or admin")
    practice.become(person)


def _look_again(_order: Order) -> None:
    """Nothing but what follows every order: the cluster is asked anew."""


ORDERS: dict[str, Callable[[Order], None]] = {
    "forward": _forward,
    "stop": _stop,
    "connect": _connect,
    "revoke": _revoke,
    "start sandbox": _start_sandbox,
    "stop sandbox": _stop_sandbox,
    "become": _become,
    "look again": _look_again,
}


def carry_out(order: Order) -> None:
    """Do what a click asks for; returns when it is done.

    Parameters
    ----------
    order
        ``do`` names the order, the rest its arguments.

    Raises
    ------
    SspcloudError
        What the Python API raises, or `UsageProblem` where there is no such order.
    """
    known = ORDERS.get(str(order.get("do")))
    if known is None:
        raise UsageProblem(
            "The panel does not know that button.", mend="reload the page, and run the cell again"
        )
    known(order)
