"""An IPython, and an API server that echoes the token."""

from tests.cluster.conftest import api, authority, write_kubeconfig
from tests.magics.conftest import fresh_session, notebook

__all__ = ["api", "authority", "fresh_session", "notebook", "write_kubeconfig"]
