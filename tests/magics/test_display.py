"""Sentences as text and as HTML."""

from __future__ import annotations

from sspcloud_magics.magics.display import Note


def test_a_note_is_readable_as_text() -> None:
    note = Note("It is done.", ("%forwards   lists them", "ask alice"))
    assert str(note) == repr(note) == "It is done.\n→ %forwards   lists them\n→ ask alice"
    assert note._repr_mimebundle_()["text/plain"] == str(note)


def test_what_came_from_a_cluster_stays_text_in_html() -> None:
    html = Note("<img onerror=x>", ("%forward <b>   </code><script>",))._repr_mimebundle_()["text/html"]
    assert "<img" not in html
    assert "<script" not in html
    assert "&lt;img onerror=x&gt;" in html
    assert "%forward &lt;b&gt;</code> &lt;/code&gt;&lt;script&gt;" in html
