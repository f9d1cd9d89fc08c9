"""Forwards as the kernel sees them, and the one thread that looks after them.

The bytes are carried by a helper process (`sspcloud_magics.tunnel`). Here stands the kernel's side:
`ForwardManager` starts and supervises that process, and each `Forward` is a live view of one of its
forwards. Magics and widgets subscribe to the manager and hold no state of their own.
"""

from sspcloud_magics.forwards.forward import Forward
from sspcloud_magics.forwards.manager import ForwardManager

__all__ = ["Forward", "ForwardManager"]
