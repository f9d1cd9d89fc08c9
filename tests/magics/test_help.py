"""The help of magics and settings in the language of the reader."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sspcloud_magics import i18n
from sspcloud_magics.i18n import messages
from sspcloud_magics.magics.forwarding import ForwardingMagics
from sspcloud_magics.magics.help import translate_help
from sspcloud_magics.magics.settings import SSPCloud


@pytest.fixture
def french_help(french: None) -> Iterator[None]:
    yield
    i18n.choose(i18n.Source.SETTING, "")
    translate_help([ForwardingMagics], SSPCloud)


@pytest.mark.usefixtures("french_help")
def test_help_is_french_and_keeps_what_is_typed() -> None:
    english = ForwardingMagics.forward.__doc__
    translate_help([ForwardingMagics], SSPCloud)
    text = ForwardingMagics.forward.__doc__ or ""
    assert "%forward" in text
    assert "--namespace NAMESPACE" in text
    assert "arguments positionnels" in text
    assert "positional arguments" not in text
    assert english != text
    assert (
        messages._("A kubeconfig file.") == SSPCloud.class_traits()["kubeconfig"].help != "A kubeconfig file."
    )
