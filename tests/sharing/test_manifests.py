"""The objects of a share grant what they name and nothing else, and end with the Job."""

import base64
from datetime import UTC, datetime, timedelta

import pytest

from sspcloud_magics.secret import Secret
from sspcloud_magics.share_keys import share_name
from sspcloud_magics.sharing import manifests
from sspcloud_magics.sharing.colleagues import parse_colleague
from sspcloud_magics.sharing.manifests import PlannedShare, future_pods
from sspcloud_magics.sharing.role_sql import Privileges
from tests.support.database import DATABASE as F

CANARY = "canary-password"


def a_share(*, duration=timedelta(days=7), **more):
    rights = {name: more.pop(name) for name in ("schemas", "read_write") if name in more}
    return PlannedShare(
        **{
            "database": F,
            "namespace": "user-alice",
            "colleague": parse_colleague("bob"),
            "service": f"{F}-rw",
            "port": 5432,
            "pods": future_pods(F),
            "privileges": Privileges(
                **{"role": "share_bob", "dbname": "defaultdb", "schemas": ("public",), "owners": (), **rights}
            ),
            "duration": duration,
            "until": datetime(2026, 12, 1, 12, tzinfo=UTC),
            "selector": {"cnpg.io/cluster": F},
            **more,
        }
    )


def make_owned(share):
    return [
        manifests.secret(share, Secret(CANARY), "PEM", "uid-1"),
        manifests.role(share, "uid-1"),
        manifests.role_binding(share, "uid-1"),
        manifests.network_policy(share, "uid-1"),
    ]


def test_the_job_runs_nothing_and_ends_at_the_deadline():
    spec = manifests.job(a_share())["spec"]
    assert (spec["parallelism"], spec["activeDeadlineSeconds"], spec["ttlSecondsAfterFinished"]) == (
        0,
        604800,
        0,
    )


def test_the_jobs_pod_would_be_hardened_if_it_ever_ran():
    pod = manifests.job(a_share())["spec"]["template"]["spec"]
    container = pod["containers"][0]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert set(container["resources"]["limits"]) == {"cpu", "memory"}


def test_everything_else_is_owned_by_the_job():
    share = a_share()
    for manifest in make_owned(share):
        (owner,) = manifest["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["name"], owner["uid"]) == ("Job", share.name, "uid-1")


def test_every_object_says_what_it_is_for():
    for manifest in [manifests.job(a_share(reason="cours")), *make_owned(a_share(reason="cours"))]:
        metadata = manifest["metadata"]
        assert metadata["labels"]["app.kubernetes.io/managed-by"] == "sspcloud-magics"
        assert metadata["labels"]["sspcloud-magics/colleague"] == "bob"
        assert metadata["annotations"]["sspcloud-magics/until"] == "2026-12-01T12:00:00+00:00"
        assert metadata["annotations"]["sspcloud-magics/reason"] == "cours"


def test_every_rule_names_its_objects():
    rules = manifests.role(a_share(), None)["rules"]
    assert all(rule["resourceNames"] for rule in rules)
    assert {rule["resources"][0] for rule in rules} == {"secrets", "endpoints", "pods/portforward"}


def test_role_follows_the_replacing_instances():
    forward = manifests.role(a_share(), None)["rules"][2]
    assert forward["resourceNames"][:2] == [f"{F}-1", f"{F}-2"]
    assert len(forward["resourceNames"]) == 32


def test_kubectl_gets_listing_rights_only_when_asked():
    rules = manifests.role(a_share(for_kubectl=True), None)["rules"]
    unnamed = [rule for rule in rules if "resourceNames" not in rule]
    assert [(rule["resources"], rule["verbs"]) for rule in unnamed] == [(["pods"], ["list"])]


def test_the_binding_reaches_laptop_and_notebook():
    subjects = manifests.role_binding(a_share(), None)["subjects"]
    assert [(one["kind"], one["name"]) for one in subjects] == [
        ("User", "oidc-bob"),
        ("Group", "system:serviceaccounts:user-bob"),
    ]


def test_the_secret_holds_all_that_the_colleague_needs():
    data = manifests.secret(a_share(), Secret(CANARY), "PEM", None)["data"]
    decoded = {key: base64.b64decode(value.reveal()).decode() for key, value in data.items()}
    assert decoded == {
        "host": f"{F}-rw.user-alice.svc",
        "port": "5432",
        "database": "defaultdb",
        "user": "share_bob",
        "password": CANARY,
        "ca.crt": "PEM",
    }


def test_a_masked_secret_shows_no_value():
    shown = manifests.mask_manifest(manifests.secret(a_share(), Secret(CANARY), None, None))
    encoded = base64.b64encode(CANARY.encode()).decode()
    assert CANARY not in str(shown)
    assert encoded not in str(shown)


def test_policy_admits_colleague_and_operator():
    ingress = manifests.network_policy(a_share(), None)["spec"]["ingress"]
    names = [
        source["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
        for rule in ingress
        for source in rule["from"]
        if "namespaceSelector" in source
    ]
    assert names == ["user-bob", "cnpg-system"]
    assert ingress[0] == {"from": [{"podSelector": {}}]}


def test_without_an_operator_none_is_admitted():
    policy = manifests.network_policy(a_share(selector={"app": "x"}), None)
    assert len(policy["spec"]["ingress"]) == 2


@pytest.mark.parametrize("colleague", ["bob", "a" * 40, "projet-" + "x" * 50])
def test_names_fit_into_a_label_and_differ(colleague):
    names = {
        share_name("d" * 30, colleague),
        share_name("d" * 30, colleague + "2"),
        share_name("e" * 30, colleague),
    }
    assert len(names) == 3
    assert all(len(name) <= 63 and not name.endswith("-") for name in names)
