"""Owner and colleague both in notebooks: real kernels with a pod's network and files, and nothing replaced."""

import contextlib

import pytest

import sspcloud_magics as ssp
from tests.sharing.on_the_sandbox import notebook, pod
from tests.support.database import DATABASE

PATH = f"user-alice/{DATABASE}"
HOST = f"{DATABASE}-rw.user-alice.svc.cluster.local"
CELLS = ["%load_ext sspcloud_magics", "%k8s_whoami"]
SHOW = "print(f'route: {joined.route}\\nencryption: {joined.protection}')"


@pytest.fixture
def kernel(be, sandbox, tmp_path):
    """A function that runs cells in a user's notebook, which has a role."""
    why = pod.why_not()
    if why:
        pytest.skip(f"no namespaces here: {why}")

    def run(person, role, *cells):
        mount = tmp_path / person
        with contextlib.closing(notebook.identity(sandbox, f"user-{person}", role, mount)) as cluster:
            server = cluster.access().server
        shown = pod.run_in_a_pod(sandbox, mount, server, HOST, [*CELLS, *cells])
        assert f"system:serviceaccount:user-{person}:" in shown, shown
        return shown

    yield run
    for person, role in (("alice", "admin"), ("bob", "edit")):
        notebook.forget(sandbox, f"user-{person}", role)


def test_from_notebook_to_notebook_by_every_route(kernel, sandbox):
    shared = kernel("alice", "admin", f"%share_db {DATABASE} --with bob --via network", "%shares")
    assert f"    %connect_db {PATH}\n" in shared
    ways = ("direct", "forward", "relay")
    count = "%query_db SELECT current_user AS me, count(*) AS n FROM regions"
    cells = [cell for way in ways for cell in (f"joined = %connect_db {PATH} --route {way}", SHOW, count)]
    with notebook.place_in_network(sandbox, "user-bob", HOST):
        joined = kernel("bob", "edit", f"joined = %connect_db {PATH}", SHOW, *cells, f"%k8s_doctor {PATH}")
    assert joined.count("encryption: TLS, the server's certificate verified") == 4, joined
    assert joined.count("share_bob    13") == 3, joined
    first, *_ = joined.split("--route")
    assert "route: direct (the network lets this machine reach the service)" in first
    for way in ways:
        assert f"route: {way} (" in joined
    assert "The database is reached by direct" in joined
    assert "mounted service-account token" in joined


def test_closed_network_leaves_only_the_forward(kernel, sandbox):
    ssp.share_db(DATABASE, "bob")
    notebook.isolate(sandbox, "user-alice", DATABASE)
    try:
        with notebook.place_in_network(sandbox, "user-bob", HOST):
            shown = kernel(
                "bob", "edit", f"%connect_db {PATH} --route direct", f"joined = %connect_db {PATH}", SHOW
            )
    finally:
        notebook.open_again(sandbox, "user-alice")
    assert "Nothing answers: a network policy blocks this machine" in shown
    assert f"%share_db {DATABASE} --with bob --via network" in shown
    assert "route: forward (your permissions there allow a port-forward)" in shown
