"""A lease: the right to use a forward until its release."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from sspcloud_magics.forwards.forward import Forward


@dataclass(frozen=True, slots=True)
class Lease:
    """The lease of a forward, created by `ForwardManager.lease`. A context manager."""

    # The forward. The release of its last lease stops it, unless it was open before the first.
    forward: Forward
    is_new: bool  # whether this lease has opened the forward
    release: Callable[[], None]  # ends the lease

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
