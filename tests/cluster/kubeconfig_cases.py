"""Kubeconfigs of users: each has one peculiarity, next to a faultless context ``good``."""

from __future__ import annotations

import json

GOOD = """\
apiVersion: v1
kind: Config
current-context: good
clusters:
- {name: good, cluster: {server: "https://good.example"}}
users:
- {name: good, user: {token: abc}}
contexts:
- {name: good, context: {cluster: good, user: good}}
"""
_JSON = json.dumps(
    {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "good",
        "clusters": [{"name": "good", "cluster": {"server": "https://good.example"}}],
        "users": [{"name": "good", "user": {"token": "abc"}}],
        "contexts": [{"name": "good", "context": {"cluster": "good", "user": "good"}}],
    },
    indent="\t",
)


def _replace(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new)


def _make_named(name: str) -> str:
    return (
        GOOD.replace("clusters:\n", f"clusters:\n- {{name: {name}, cluster: {{server: s}}}}\n")
        .replace("users:\n", f"users:\n- {{name: {name}, user: {{token: t}}}}\n")
        .replace(
            "contexts:\n", f"contexts:\n- {{name: {name}, context: {{cluster: {name}, user: {name}}}}}\n"
        )
    )


def _entry(plural: str, text: str) -> str:
    others = {
        "clusters": ("users:\n- {name: bad, user: {token: t}}\n", "{cluster: bad, user: bad}"),
        "users": ("clusters:\n- {name: bad, cluster: {server: s}}\n", "{cluster: bad, user: bad}"),
        "contexts": ("", ""),
    }
    there, context = others[plural]
    changed = GOOD.replace(f"{plural}:\n", f"{plural}:\n- {text}\n")
    if there:
        heading = there.split("\n", 1)[0] + "\n"
        changed = changed.replace(heading, there)
        changed = changed.replace("contexts:\n", f"contexts:\n- {{name: bad, context: {context}}}\n")
    return changed


def _user(fields: str) -> str:
    return _entry("users", f"{{name: bad, user: {fields}}}")


def _exec(fields: str) -> str:
    return _user(f"{{exec: {{apiVersion: client.authentication.k8s.io/v1, command: c, {fields}}}}}")


def _cluster(fields: str) -> str:
    return _entry("clusters", f"{{name: bad, cluster: {fields}}}")


_NAMES = """
2024-01-01|12:30|1:2:3|2001-12-14t21:59:43.10-05:00|2024-01-01 10:00:00|2024-13-45|=|<<|.|..|é|_1|0x|1e|1.2.3|123abc|oN
!!str 5|!foo bar|'yes'|"5"
yes|no|y|N|on|Off|true|FALSE|0x1f|0X1F|0o17|017|08|0b101|1_000|.5|5.|1e3|1e+3|+1|-1|+_1|.inf|-.Inf|.NaN
99999999999999999999|!!int 5
""".replace("\n", "|")

FILES: dict[str, str | bytes] = {
    "a trailing ---": f"{GOOD}---\n",
    "a leading ---": f"---\n{GOOD}",
    "a second document": f"{GOOD}---\nclusters: [{{name: other, cluster: {{server: b}}}}]\n",
    "a second document that is broken": f"{GOOD}---\n}}{{\n",
    "a trailing ...": f"{GOOD}...\n}}{{",
    "%YAML 1.1": f"%YAML 1.1\n---\n{GOOD}",
    "a byte order mark": b"\xef\xbb\xbf" + GOOD.encode(),
    "UTF-16 little-endian": b"\xff\xfe" + GOOD.replace("\n", "\r\n").encode("utf-16-le"),
    "UTF-16 big-endian": b"\xfe\xff" + GOOD.encode("utf-16-be"),
    "UTF-16 without a mark": GOOD.encode("utf-16-le"),
    "UTF-16 that is cut off": b"\xff\xfe" + GOOD.encode("utf-16-le") + b"x",
    "UTF-16 JSON with tabs": b"\xff\xfe" + _JSON.encode("utf-16-le"),
    "Windows line ends": GOOD.replace("\n", "\r\n"),
    "old Mac line ends": GOOD.replace("\n", "\r"),
    "JSON with tabs": _JSON,
    "JSON on one line": json.dumps(json.loads(_JSON)),
    "JSON with a trailing comma": _JSON.replace('"good"\n', '"good",\n'),
    "JSON with an escape": _JSON.replace("https://", "https:\\u002f/"),
    "JSON with half a character": _JSON.replace("https://", "\\ud83d"),
    "JSON, then something else": f"{_JSON}x",
    "JSON with a comment before it": f"// mine\n{_JSON}",
    "a tab as indentation": _replace("- {name: good, user", "\t- {name: good, user"),
    "a tab after a colon": _replace("kind: ", "kind:\t"),
    "a tab after a value": _replace("Config", "Config\t"),
    "a tab before a comment": _replace("users:", "users:\t# mine"),
    "a tab in braces": _replace("{name:", "{\tname:"),
    "a NUL": f"{GOOD}\0",
    "a control character": f"{GOOD}# \x07\n",
    "Latin-1": GOOD.encode() + b"# \xe9\n",
    "an emoji": f"{GOOD}# \U0001f600\n",
    "nothing": "",
    "only a comment": "# mine\n",
    "only null": "null\n",
    "only {}": "{}",
    "only a list": "[]",
    "only text": "hello",
    "only a number": "5",
    "a key twice": f"{GOOD}current-context: other\n",
    "a list twice": f"{GOOD}clusters: []\n",
    "an alias": _replace("{token: abc}", "&a {token: abc}") + "extra: *a\n",
    "a merge": _replace("{token: abc}", "{<<: {token: m, tokenFile: /z}, token: abc}"),
    "a merge of a list": _replace("{token: abc}", "{<<: [{token: m}, {tokenFile: /z}]}"),
    "a merge of null": f"{GOOD}<<: null\n",
    "an alias of nothing": f"{GOOD}extra: *nothing\n",
    "an unknown key": f"{GOOD}extra: {{a: [1, .inf]}}\n".replace(", .inf", ""),
    "a key that is an operator": f"{GOOD}=: 1\n",
    "a key that is a date": f"{GOOD}2024-01-01: 1\n",
    "a key that is a list": f"{GOOD}[a]: 1\n",
    "unknown tags": f"{GOOD}a: !x {{b: 1}}\nc: !!python/object/apply:os.system ['false']\n",
    "a very long number": f"{GOOD}extra: {'9' * 5000}\n",
    "text that is said to be a number": f"{GOOD}extra: !!int abc\n",
    "kind: null": _replace("kind: Config", "kind:"),
    "no kind and no version": _replace("kind: Config\n", "").replace("apiVersion: v1\n", ""),
    "another kind": _replace("kind: Config", "kind: Deployment"),
    "another version": _replace("apiVersion: v1", "apiVersion: v2"),
    "a kind that is a list": _replace("kind: Config", "kind: [a]"),
    "a version that is a number": _replace("apiVersion: v1", "apiVersion: 1"),
    "lists that are null": "clusters:\nusers: ~\ncontexts: null\ncurrent-context: x\n",
    "a list that is a mapping": "clusters: {}\ncurrent-context: x",
    "a list that is text": "clusters: ''\ncurrent-context: x",
    "current-context: null": _replace("current-context: good", "current-context:"),
    "nested too deeply": "[" * 20_000,
    "a space too many": _replace("users:", " users:"),
    "no space after a colon": _replace("name: good, user", "name:good, user"),
    "lists that are indented": GOOD.replace("\n- {name", "\n  - {name"),
    "a token in a block": _replace(
        "{name: good, user: {token: abc}}", "name: good\n  user:\n    token: |\n      abc"
    ),
}
"""What a file as a whole may be like."""

ENTRIES: dict[str, str] = {
    **{f"the name {name}": _make_named(name) for name in _NAMES.split("|") if name},
    "a current-context that is a number": _replace("current-context: good", "current-context: 5"),
    "an item that is null": _entry("users", "null"),
    "an item that is empty": _entry("users", "{}"),
    "items without a name": _entry("users", "{}\n- {}"),
    "a name that is null": _entry("users", "{name: null, user: {token: t}}"),
    "a name that is a list": _entry("users", "{name: [bad], user: {token: t}}"),
    "an item that is text": _entry("users", "bad"),
    "an item that is a list": _entry("clusters", "[]"),
    "an item that is a number": _entry("contexts", "5"),
    "a user that is null": _user("null"),
    "a user that is text": _user("text"),
    "a user that is a list": _user("[]"),
    "a user without values": _entry("users", "{name: bad}"),
    "a user twice": _entry("users", "{name: bad, user: {token: t}}\n- {name: bad, user: {token: t}}"),
    "a cluster twice": _entry(
        "clusters", "{name: bad, cluster: {server: s}}\n- {name: bad, cluster: {server: s}}"
    ),
    "a context twice": _entry("contexts", "{name: bad, context: {}}\n- {name: bad}"),
    "a token that is null": _user("{token: null}"),
    "a token that is a number": _user("{token: 5}"),
    "a token that is a date": _user("{token: 2024-01-01}"),
    "a token that is a truth value": _user("{token: yes}"),
    "a token that is no number": _user("{token: !!int abc}"),
    "a token in base64": _user('{token: !!binary "YWJj"}'),
    "a token in base64 that is none": _user('{token: !!binary "a$"}'),
    "keys in capitals": _user("{Token: x, TOKENFILE: y}"),
    "nulls everywhere in a user": _user(
        "{as: null, as-groups: null, as-user-extra: null, username: null, password: null, tokenFile: null, exec: null,"
        " auth-provider: null, client-key: null, client-key-data: null, client-certificate: null}"
    ),
    "groups that are text": _user("{token: t, as-groups: text}"),
    "exec: {}": _user("{exec: {}}"),
    "exec with null for all": _exec(
        "args: null, env: null, provideClusterInfo: null, interactiveMode: null, installHint: null"
    ),
    "exec with a null argument": _exec("args: [null, a]"),
    "exec with a number as argument": _exec("args: [5]"),
    "exec with text as arguments": _exec("args: text"),
    "exec with a null variable": _exec("env: [null]"),
    "exec with a variable without value": _exec("env: [{name: A}]"),
    "exec with a variable that is null": _exec("env: [{name: A, value: null}]"),
    "exec with a variable without name": _exec("env: [{value: A}]"),
    "exec with a variable that is a number": _exec("env: [{name: A, value: 5}]"),
    "exec with a mapping of variables": _exec("env: {A: b}"),
    "exec with text for a truth value": _exec("provideClusterInfo: 'true'"),
    "exec that is a list": _user("{exec: []}"),
    "exec with null as command": _user("{exec: {command: null, apiVersion: null}}"),
    "exec with a number as command": _user(
        "{exec: {command: 5, apiVersion: client.authentication.k8s.io/v1}}"
    ),
    "auth-provider: {}": _user("{auth-provider: {}}"),
    "auth-provider with null": _user("{auth-provider: {name: oidc, config: null}}"),
    "auth-provider with a null token": _user("{auth-provider: {name: oidc, config: {id-token: null}}}"),
    "auth-provider with a number": _user("{auth-provider: {name: oidc, config: {id-token: 5}}}"),
    "auth-provider with a list": _user("{auth-provider: {name: oidc, config: []}}"),
    "auth-provider that is text": _user("{auth-provider: oidc}"),
    "nulls everywhere in a cluster": _cluster(
        "{server: s, insecure-skip-tls-verify: null, certificate-authority: null, certificate-authority-data: null,"
        " tls-server-name: null, proxy-url: null, disable-compression: null, extensions: null}"
    ),
    "a server that is null": _cluster("{server: null}"),
    "a server that is a number": _cluster("{server: 5}"),
    "insecure: yes": _cluster("{server: s, insecure-skip-tls-verify: yes}"),
    "insecure: On": _cluster("{server: s, insecure-skip-tls-verify: On}"),
    "insecure: y": _cluster("{server: s, insecure-skip-tls-verify: y}"),
    "insecure: off": _cluster("{server: s, insecure-skip-tls-verify: off}"),
    "insecure: 'true'": _cluster("{server: s, insecure-skip-tls-verify: 'true'}"),
    "insecure: 1": _cluster("{server: s, insecure-skip-tls-verify: 1}"),
    "base64 with line breaks": _cluster('{server: s, certificate-authority-data: "YWJj\\r\\nZGVm\\n"}'),
    "base64 with a blank": _cluster("{server: s, certificate-authority-data: YWJj ZGVm}"),
    "base64 without its end": _cluster("{server: s, certificate-authority-data: YWI}"),
    "base64 for addresses": _cluster("{server: s, certificate-authority-data: -_-_}"),
    "extensions of null": _cluster("{server: s, extensions: [null]}"),
    "a context that is null": _entry("contexts", "{name: bad, context: null}"),
    "nulls everywhere in a context": _entry(
        "contexts", "{name: bad, context: {cluster: good, user: good, namespace: null}}"
    ),
    "a namespace that is a number": _entry(
        "contexts", "{name: bad, context: {cluster: good, user: good, namespace: 5}}"
    ),
    "a user of a context that is a number": _entry(
        "contexts", "{name: bad, context: {cluster: good, user: 5}}"
    ),
}
"""What one entry may be like, next to a context that nothing is wrong with."""
