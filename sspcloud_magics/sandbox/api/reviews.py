"""Reviews of identities and permissions, for ``kubectl auth whoami`` and ``kubectl auth can-i``.

A client creates a review like an object; it is answered and not stored.

Source: https://kubernetes.io/docs/reference/kubernetes-api/authorization-resources/
"""

from __future__ import annotations

from aiohttp import web

from sspcloud_magics.sandbox.api.call import Call
from sspcloud_magics.sandbox.api.status import ApiError, Cause, invalid
from sspcloud_magics.sandbox.auth.authenticator import Unauthenticated
from sspcloud_magics.sandbox.auth.rbac import Attributes, decide, rules_held
from sspcloud_magics.sandbox.auth.users import User
from sspcloud_magics.sandbox.store import Obj


async def review(call: Call) -> web.Response:
    """Answer a review of any kind."""
    body = await call.body()
    body = {**body, "apiVersion": call.resource.api_version, "kind": call.resource.kind}
    body.setdefault("metadata", {}).setdefault("creationTimestamp", None)
    spec: Obj = body.get("spec") or {}
    match call.resource.kind:
        case "SelfSubjectReview":
            answer: Obj = {"userInfo": _user_info(call.user)}
        case "SelfSubjectAccessReview":
            answer = _access(call, call.user, spec)
        case "SelfSubjectRulesReview":
            answer = _rules(call, spec.get("namespace", ""))
        case "TokenReview":
            answer = _token(call, spec.get("token", ""))
        case _:
            answer = _access(call, _get_named_user(call, spec), spec)
    return call.answer({**body, "status": answer}, status=201)


def _user_info(user: User) -> Obj:
    info: Obj = {"username": user.name}
    if user.uid:
        info["uid"] = user.uid
    info["groups"] = list(user.groups)
    if user.extra:
        info["extra"] = {key: list(values) for key, values in sorted(user.extra.items())}
    return info


def _get_named_user(call: Call, spec: Obj) -> User:
    if not spec.get("user") and not spec.get("groups"):
        words = "Required value: at least one of user or group must be specified"
        raise _invalid(call, "FieldValueRequired", words, "spec.user")
    return User(spec.get("user", ""), spec.get("uid", ""), tuple(spec.get("groups") or ()))


def _access(call: Call, user: User, spec: Obj) -> Obj:
    asked: Obj = spec.get("resourceAttributes") or {}
    path: Obj = spec.get("nonResourceAttributes") or {}
    if bool(asked) == bool(path):
        words = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        raise _invalid(call, "FieldValueInvalid", f"Invalid value: null: {words}", "spec.resourceAttributes")
    names = ("verb", "group", "resource", "subresource", "namespace", "name", "path")
    decision = decide(
        call.store, user, Attributes(**{k: v for k, v in (asked or path).items() if k in names})
    )
    answer: Obj = {"allowed": decision.allowed}
    if decision.reason:
        answer["reason"] = decision.reason
        if not decision.allowed:
            answer["evaluationError"] = decision.reason.removeprefix("RBAC: ")
    return answer


def _rules(call: Call, namespace: str) -> Obj:
    if not namespace:
        raise _invalid(call, "FieldValueRequired", "no namespace on request", "spec.namespace")
    held = rules_held(call.store, call.user, namespace)
    fields = ("verbs", "apiGroups", "resources", "resourceNames")
    answer: Obj = {
        "resourceRules": [
            {name: rule[name] for name in fields if rule.get(name)}
            for rule in held.rules
            if rule.get("resources")
        ],
        "nonResourceRules": [
            {"verbs": rule["verbs"], "nonResourceURLs": rule["nonResourceURLs"]}
            for rule in held.rules
            if rule.get("nonResourceURLs")
        ],
        "incomplete": False,
    }
    if held.errors:
        answer["evaluationError"] = ", ".join(held.errors)
    return answer


def _token(call: Call, token: str) -> Obj:
    try:
        user = call.cluster.auth.user_of_token(token)
    except Unauthenticated:
        return {"authenticated": False, "user": {}, "error": "invalid bearer token"}
    return {"authenticated": True, "user": _user_info(user)}


def _invalid(call: Call, reason: str, words: str, field: str) -> ApiError:
    return invalid(call.resource.group, call.resource.kind, "", [Cause(reason, words, field)])
