"""A namespace holds as much as its quotas say, and no more."""

from __future__ import annotations

from decimal import Decimal

import pytest

from sspcloud_magics.sandbox.api.quantities import canonical_quantity, parse_quantity
from sspcloud_magics.sandbox.resources import by_plural
from sspcloud_magics.sandbox.store import Obj
from tests.sandbox.api.conftest import Api, pod

CORE = "/api/v1/namespaces/user-alice"
JOBS = "/apis/batch/v1/namespaces/user-alice/jobs"


@pytest.mark.parametrize(
    ("text", "number", "kept"),
    [
        ("2", 2, "2"),
        (3, 3, "3"),
        (0.5, "0.5", "500m"),
        ("1500m", "1.5", "1500m"),
        ("2000m", 2, "2"),
        ("1k", 1000, "1k"),
        ("1000", 1000, "1k"),
        ("1e3", 1000, "1k"),
        ("1Ki", 1024, "1Ki"),
        ("1024Mi", 1073741824, "1Gi"),
        ("1.5Gi", 1610612736, "1536Mi"),
        ("0.5Ki", 512, "512"),
        ("100u", "0.0001", "100u"),
        ("0", 0, "0"),
    ],
)
def test_quantity(text: str, number: str | int, kept: str) -> None:
    assert parse_quantity(text) == Decimal(number)
    assert canonical_quantity(text) == kept


async def test_quantity_is_stored_canonically(api: Api) -> None:
    wanted = make_sized_pod("a", memory="1024Mi")
    wanted["spec"]["containers"][0]["resources"]["limits"]["cpu"] = 0.5
    made = await api.post(f"{CORE}/pods", wanted)
    assert made["spec"]["containers"][0]["resources"]["limits"] == {"memory": "1Gi", "cpu": "500m"}
    code, _, message = await api.refusal("POST", f"{CORE}/pods", make_sized_pod("b", cpu="many"))
    assert code == 400
    assert message.startswith('Pod in version "v1" cannot be handled as a Pod: quantities must match')


async def limit(api: Api, **hard: str) -> None:
    wanted = {name.replace("__", "/").replace("_", "."): amount for name, amount in hard.items()}
    made = await api.act_as("admin").post(
        f"{CORE}/resourcequotas", {"metadata": {"name": "q"}, "spec": {"hard": wanted}}
    )
    assert made["kind"] == "ResourceQuota"


def make_sized_pod(name: str, **limits: str) -> Obj:
    wanted = pod(name)
    wanted["spec"]["containers"][0]["resources"] = {"limits": limits}
    return wanted


async def test_number_of_pods(api: Api) -> None:
    await limit(api, pods="1")
    await api.post(f"{CORE}/pods", pod("a"))
    assert await api.refusal("POST", f"{CORE}/pods", pod("b")) == (
        403,
        "Forbidden",
        'pods "b" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1',
    )


async def test_pod_that_has_ended_does_not_count(api: Api) -> None:
    await limit(api, pods="1")
    await api.post(f"{CORE}/pods", pod("a"))
    ended = api.store.get(by_plural("", "pods"), "user-alice", "a")
    ended["status"]["phase"] = "Succeeded"
    api.store.update(ended)
    assert (await api.post(f"{CORE}/pods", pod("b")))["kind"] == "Pod"


async def test_no_jobs_at_all(api: Api) -> None:
    await limit(api, count__jobs_batch="0")
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "x"}]}}
    job = {"metadata": {"name": "j"}, "spec": {"template": template}}
    assert await api.refusal("POST", JOBS, job) == (
        403,
        "Forbidden",
        (
            'jobs.batch "j" is forbidden: exceeded quota: q, requested: count/jobs.batch=1, used: count/jobs.batch=0, '
            "limited: count/jobs.batch=0"
        ),
    )


async def test_sum_of_what_containers_want(api: Api) -> None:
    await limit(api, limits_cpu="1", limits_memory="1Gi")
    await api.post(f"{CORE}/pods", make_sized_pod("a", cpu="500m", memory="512Mi"))
    _, _, message = await api.refusal("POST", f"{CORE}/pods", make_sized_pod("b", cpu="600m", memory="512Mi"))
    assert message == (
        'pods "b" is forbidden: exceeded quota: q, requested: limits.cpu=600m, used: limits.cpu=500m, limited: '
        "limits.cpu=1"
    )
    assert (await api.post(f"{CORE}/pods", make_sized_pod("c", cpu="0.5", memory="512Mi")))["kind"] == "Pod"


async def test_what_is_limited_must_be_said(api: Api) -> None:
    await limit(api, limits_cpu="1", limits_memory="1Gi")
    _, _, message = await api.refusal("POST", f"{CORE}/pods", pod("a"))
    assert message == (
        'pods "a" is forbidden: failed quota: q: must specify limits.cpu for: main; limits.memory for: main'
    )


async def test_status_says_what_is_used(api: Api) -> None:
    await limit(api, pods="3", limits_memory="1Gi")
    await api.post(f"{CORE}/pods", make_sized_pod("a", cpu="1", memory="256Mi"))
    found = await api.get(f"{CORE}/resourcequotas/q")
    assert found["status"] == {
        "hard": {"pods": "3", "limits.memory": "1Gi"},
        "used": {"pods": "1", "limits.memory": "256Mi"},
    }
    await api.ask("DELETE", f"{CORE}/pods/a")
    assert (await api.get(f"{CORE}/resourcequotas/q"))["status"]["used"] == {
        "pods": "0",
        "limits.memory": "0",
    }
