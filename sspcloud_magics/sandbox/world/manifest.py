"""The manifests of the world, in `manifests`: lists of objects as the charts make them, with names to fill in."""

from __future__ import annotations

from pathlib import Path
from string import Template

import yaml

from sspcloud_magics.sandbox.controllers.objects import create
from sspcloud_magics.sandbox.store import Store

_FOLDER = Path(__file__).with_name("manifests")


def install(store: Store, manifest: str, **values: str | int) -> None:
    """Create the objects of a manifest with these values in it."""
    text = (_FOLDER / f"{manifest}.yaml").read_text(encoding="utf-8")
    for obj in yaml.safe_load(Template(text).substitute(values))["items"]:
        create(store, obj)
