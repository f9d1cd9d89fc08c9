"""The kernel's side of the forwards.

A helper process (`sspcloud_magics.tunnel`) carries the bytes. `ForwardManager` starts and supervises it on one thread,
and each `Forward` is a live view of one of its forwards. Magics and widgets subscribe to the manager, and keep no state
of their own.
"""

from sspcloud_magics.forwards.forward import Forward
from sspcloud_magics.forwards.manager import ForwardManager

__all__ = ["Forward", "ForwardManager"]
