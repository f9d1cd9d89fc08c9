"""Where a login comes from, for messages."""

from __future__ import annotations

ACCOUNT_PAGE = "https://datalab.sspcloud.fr/account"
"""Where SSPCloud's users find the login script."""

COPY_AGAIN = (
    f"copy the script again from your account page (Connection to Kubernetes): {ACCOUNT_PAGE}\n"
    "%k8s_login config.sh   then takes it; what is open stays open, and heals by itself"
)
