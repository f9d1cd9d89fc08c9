"""Replies are split into parts that fit into an update, without loss."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from sspcloud_magics.printable import printable_values
from sspcloud_magics.widgets.reply_parts import MOST, split_reply

found = st.recursive(
    st.none() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=40), max_leaves=60
)


@settings(deadline=None)
@given(found)
def test_the_pieces_of_an_answer_are_the_answer(answer: Any) -> None:
    assert json.loads("".join(split_reply(answer))) == printable_values(answer)


def test_a_piece_fits_into_an_update_whatever_is_in_it() -> None:
    for odd in ('"' * 9000, "\\" * 9000, "é" * 4000, "\n" * 4000):
        cut = split_reply({"text": odd})
        assert len(cut) > 1
        assert max(len(json.dumps(piece)) for piece in cut) <= MOST + 2
