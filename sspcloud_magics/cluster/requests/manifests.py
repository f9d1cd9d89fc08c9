r"""Manifests: the YAML documents that describe objects, checked before anything is sent.

Placeholders that a course or a documentation leaves in (``user-XXXXXXXX``, ``mon-namespace``, ``$POD``) are found here. A name
in Kubernetes can hold none of them, but an argument of a program can, and would only fail later, in the pod.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from yaml.reader import ReaderError

from sspcloud_magics.bounded_json import LimitExceeded
from sspcloud_magics.cluster.config.kubeconfig_yaml import compose_all, construct, get
from sspcloud_magics.errors import UsageProblem
from sspcloud_magics.i18n import _, _n, format_bytes
from sspcloud_magics.printable import shorten

LONGEST = 1 << 20
"""In bytes. The parser takes about ten seconds for a text of that size, and the server limits an object to 1.5 MiB."""

_PLACEHOLDER = re.compile(
    r"""(?x) (?<![\w-])[\w-]*-X{3,} | X{3,}                   # user-XXXXXXXX
    | \buser-(?:x{3,}\b|\.{3}|…)                             # user-xxxxxxxx
    | (?i:\b(?:mon|votre|my|your)[-_](?:namespace|espace)\b) # mon-namespace
    | (?P<word>(?i:\b(?:votre|your)[-_][a-z][\w-]*|\bchange[-_]?me\b))  # YOUR_NAME
    | <[^\W\d][\w .'-]*>                                      # <your namespace>
    | \$\{?[A-Z][A-Z_0-9]*\}?                                # $POD; $(POD) is Kubernetes' own
    | \{\{[^{}]*\}\}                                         # a template of Helm or Jinja
    """
)
# A character as JSON escapes it; in YAML, these are two characters that do not exist.
_SURROGATES = re.compile(r"(?i)(?<!\\)\\ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2}")
# Fields of a program: a shell's variable, a template, a tag of HTML or a table your_table is right there.
_PROGRAM = frozenset({"command", "args", "value"})
# Fields of free text, where everything is right.
_FREE_TEXT = frozenset({"data", "stringData", "binaryData", "annotations", "description"})


@dataclass(frozen=True, slots=True)
class Placeholder:
    """A placeholder that is still in a text."""

    text: str
    line: int
    field: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """An object to apply."""

    body: dict[str, Any]  # the object
    line: int  # the line where it begins, from 1
    node: MappingNode  # its YAML, for the lines of fields

    @property
    def api_version(self) -> str:
        """Its ``apiVersion``."""
        return str(self.body["apiVersion"])

    @property
    def kind(self) -> str:
        """Its ``kind``."""
        return str(self.body["kind"])

    @property
    def name(self) -> str:
        """Its ``metadata.name``."""
        return str(self.body["metadata"]["name"])

    def find_line(self, field: str) -> int | None:
        """Return the line of a field in the server's notation, ``spec.containers[0].image``; None if it is not there."""
        node: Node | None = self.node
        line = None
        for step in re.findall(r"\[[^\]]*\]|[^.\[\]]+", field):
            node = _element(node, step[1:-1]) if step[0] == "[" else _field(node, step)
            if node is None:
                break
            line = node.start_mark.line + 1
        return line


def parse_manifests(text: str) -> list[Manifest]:
    """Return the objects of a text; those of a ``kind: List`` one by one.

    Raises
    ------
    UsageProblem
        If it is too large, not YAML, or a document is not an object of Kubernetes, or there is none.
    """
    size = len(text.encode(errors="replace"))
    if size > LONGEST:
        raise UsageProblem(
            _("The text is too large: {size}.", size=format_bytes(size)),
            why=_(
                "The limit is {limit}; the server limits an object to 1.5 MiB.", limit=format_bytes(LONGEST)
            ),
            hint=_("split it into several cells or files"),
        )
    if text.lstrip().startswith("{"):
        text = _SURROGATES.sub(lambda found: str(json.loads(f'"{found[0]}"')), text)
    try:
        documents = compose_all(text)
        bodies = [(node, construct(node)) for node in documents]
    except LimitExceeded as error:
        raise UsageProblem(
            _("The text is not a usable manifest."), why=_("It has {limit}.", limit=str(error))
        ) from None
    except yaml.YAMLError as error:
        raise _explain(error, text) from None
    found: list[Manifest] = []
    for node, body in bodies:
        _add(found, node, body)
    if not found:
        raise UsageProblem(
            _("There is no object to apply."),
            hint=_("write apiVersion, kind and metadata, as in %%k8s_apply?"),
        )
    return found


def find_placeholders(manifests: list[Manifest]) -> list[Placeholder]:
    """Return the placeholders in manifests, in the order of the text.

    Examples
    --------
    >>> found = find_placeholders(parse_manifests(
    ...     "{apiVersion: v1, kind: Pod, metadata: {name: a, namespace: user-XXXXXXXX}}"))
    >>> found[0].text, found[0].line, found[0].field
    ('user-XXXXXXXX', 1, 'metadata.namespace')
    """
    found: dict[tuple[str, int], Placeholder] = {}
    for manifest in manifests:
        for node, field in _scalars(manifest.node, ""):
            steps = set(re.split(r"[.\[\]]+", field))
            for match in _PLACEHOLDER.finditer("" if steps & _FREE_TEXT else node.value):
                line = node.start_mark.line + 1
                if not (steps & _PROGRAM and (match["word"] or match[0][0] in "$<{")):
                    found.setdefault((match[0], line), Placeholder(match[0], line, field))
    return list(found.values())


def refuse_placeholders(manifests: list[Manifest], namespace: str) -> None:
    """Raise `UsageProblem` if manifests have placeholders, naming each with its line."""
    found = find_placeholders(manifests)
    if not found:
        return
    lines = [
        _("line {line}: {text} ({field})", line=each.line, text=each.text, field=each.field) for each in found
    ]
    raise UsageProblem(
        _n(
            "A placeholder is still in the text, so nothing was sent.",
            "{count} placeholders are still in the text, so nothing was sent.",
            len(found),
        ),
        why="\n".join(lines),
        hint=_("replace each by your own value; your namespace is {namespace}", namespace=namespace),
    )


def _add(found: list[Manifest], node: Node, body: Any) -> None:
    line = node.start_mark.line + 1
    if not isinstance(node, MappingNode):
        raise _make_refusal(line, _("It is a list or a plain value, not an object with fields."))
    if str(body.get("kind") or "").endswith("List") and isinstance(body.get("items"), list):
        items = get(node, "items")
        for inner, item in zip(
            items.value if isinstance(items, SequenceNode) else (), body["items"], strict=True
        ):
            _add(found, inner, item)
        return
    metadata = body.get("metadata")
    named = isinstance(metadata, dict) and isinstance(metadata.get("name"), str) and metadata["name"]
    fields = {"apiVersion": body.get("apiVersion"), "kind": body.get("kind"), "metadata.name": named}
    if named and metadata.get("namespace") is not None:
        fields["metadata.namespace"] = metadata["namespace"]
    missing = [name for name, value in fields.items() if not value or not isinstance(value, str)]
    if missing:
        why = _("Its {field} is missing or is not text.", field=missing[0])
        if missing == ["metadata.name"] and isinstance(metadata, dict) and metadata.get("generateName"):
            why = _("It has generateName, and an object to apply needs a fixed name.")
        raise _make_refusal(line, why)
    found.append(Manifest(body, line, node))


def _make_refusal(line: int, why: str) -> UsageProblem:
    return UsageProblem(
        _("The document at line {line} is not an object of Kubernetes.", line=line),
        why=why,
        hint=_("begin it with apiVersion, kind and metadata; separate documents with a line ---"),
    )


def _explain(error: yaml.YAMLError, text: str) -> UsageProblem:
    if isinstance(error, ReaderError) and isinstance(error.position, int):
        before = text[: error.position].split("\n")
        return UsageProblem(
            _(
                "The text is not YAML: line {line}, column {column}.",
                line=len(before),
                column=len(before[-1]) + 1,
            ),
            why=_(
                "There is a character that YAML does not allow: U+{code}.",
                code=f"{ord(text[error.position]):04X}",
            ),
            hint=_("delete that character"),
        )
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None)
    why = _("The parser says: “{words}”", words=shorten(str(problem), 200)) if problem else ""
    if mark is None:
        return UsageProblem(_("The text is not YAML."), why=why)
    lines = text.splitlines()
    there = lines[mark.line] if mark.line < len(lines) else ""
    hint = _("check the indentation of that line and of the line before")
    if "{{" in there:
        hint = _("replace {{ … }} by your own value")
    if there.lstrip(" ").startswith("\t"):
        hint = _("indent with blanks: YAML allows no tabs there")
    return UsageProblem(
        _("The text is not YAML: line {line}, column {column}.", line=mark.line + 1, column=mark.column + 1),
        why=why,
        hint=hint,
    )


def _field(node: Node | None, name: str) -> Node | None:
    return get(node, name) if isinstance(node, MappingNode) else None


def _element(node: Node | None, key: str) -> Node | None:
    """Return the element of a list with an index, or with a field as in ``name="web"``."""
    elements = node.value if isinstance(node, SequenceNode) else []
    if key.isdigit():
        return elements[int(key)] if int(key) < len(elements) else None
    name, _equals, value = key.partition("=")
    found = [each for each in elements if getattr(_field(each, name), "value", None) == value.strip('"')]
    return found[0] if found else None


def _scalars(node: Node, field: str) -> Iterator[tuple[ScalarNode, str]]:
    """Yield the texts in a node, each with the name of its field."""
    waiting: list[tuple[Node, str]] = [(node, field)]
    seen: set[int] = set()
    while waiting:
        node, field = waiting.pop()
        if id(node) in seen:  # an alias
            continue
        seen.add(id(node))
        if isinstance(node, ScalarNode):
            yield node, field
        elif isinstance(node, SequenceNode):
            waiting += [(each, f"{field}[{place}]") for place, each in enumerate(node.value)][::-1]
        elif isinstance(node, MappingNode):
            waiting += [(value, f"{field}.{key.value}".lstrip(".")) for key, value in node.value][::-1]
