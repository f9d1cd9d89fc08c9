"""Templates of the manifests that the sandbox creates: lists of objects in YAML."""

from __future__ import annotations

from pathlib import Path
from string import Template

import yaml

from sspcloud_magics.sandbox.store import Obj

# libyaml, where PyYAML has it, reads ten times as fast.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_manifest(manifest: str, /, **values: str | int) -> list[Obj]:
    """Return the objects of a manifest, with `values` in place of its variables."""
    text = Path(__file__).with_name(f"{manifest}.yaml").read_text(encoding="utf-8")
    items: list[Obj] = _LOADER(Template(text).substitute(values)).get_single_data()["items"]
    return items
