"""What the pods of shares and relays have in common: the image, and the rights that they go without."""

from __future__ import annotations

IMAGE = "alpine/socat:1.8.0.3"

HARDENED_CONTAINER = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
}
"""The ``securityContext`` of a container."""

HARDENED_POD = {
    "runAsNonRoot": True,
    "runAsUser": 65534,  # nobody
    "seccompProfile": {"type": "RuntimeDefault"},
}
"""The ``securityContext`` of a pod."""
