"""Addresses of the platform, for messages."""

from __future__ import annotations

ACCOUNT_PAGE = "https://datalab.sspcloud.fr/account"
"""The account page of SSPCloud, which shows the login script."""

COPY_AGAIN = (
    f"copy the script again from your account page (Connection to Kubernetes): {ACCOUNT_PAGE}\n"
    "run %k8s_login config.sh; open forwards and connections stay open, and recover automatically"
)
