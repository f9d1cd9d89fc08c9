"""The share of one user in a forward that several of them hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from sspcloud_magics.forwards.forward import Forward


@dataclass(frozen=True, slots=True)
class Lease:
    """A forward that its holder needs until `release`; made by `ForwardManager.lease`. A context manager.

    Parameters
    ----------
    forward
        The forward, which the last lease stops; one that was open before the first lease stays.
    is_new
        Whether it was not open before this lease.
    release
        Ends the lease.
    """

    forward: Forward
    is_new: bool
    release: Callable[[], None]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
