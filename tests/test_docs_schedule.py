"""The code of docs/schedule.md: its assertions hold."""

from docs_pages import blocks


def test_the_assertions_of_the_page_hold() -> None:
    found = blocks("docs/schedule.md", "python")
    assert sum("assert" in block.code for block in found) >= 7
    exec("".join(block.code for block in found), {})
