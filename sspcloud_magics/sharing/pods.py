"""Image and security contexts shared by the pods of shares and relays."""

from __future__ import annotations

IMAGE = "alpine/socat:1.8.0.3"

HARDENED_CONTAINER = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
}
"""``securityContext`` of a container."""

HARDENED_POD = {
    "runAsNonRoot": True,
    "runAsUser": 65534,  # the user ``nobody`` of most images
    "seccompProfile": {"type": "RuntimeDefault"},
}
"""``securityContext`` of a pod."""
