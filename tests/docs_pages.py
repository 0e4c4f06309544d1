"""The pages of the documentation, and the blocks of code in them."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)
SPAN = re.compile(r"`(shiftwork [^`]+)`")


@dataclass(frozen=True)
class Block:
    """A fenced block of code.

    Attributes:
        page: its path from the root of the repository.
        language: as stated; empty for formulas, drawings and messages.
        code: without the fence.
    """

    page: str
    language: str
    code: str


def pages() -> dict[str, str]:
    """The text of every page by its path from the root of the repository."""
    paths = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.glob("**/*.md"))]
    return {str(path.relative_to(ROOT)): path.read_text() for path in paths}


def blocks(page: str | None = None, language: str | None = None) -> list[Block]:
    """The blocks of a page, or of all, in one language, or in all."""
    return [
        Block(name, kind, code)
        for name, text in pages().items()
        if page in (None, name)
        for _, kind, code in BLOCK.findall(text)
        if language in (None, kind)
    ]


def commands(code: str) -> list[str]:
    """The commands of a block for the shell: a line each, comments and continuations resolved."""
    joined = code.replace("\\\n", " ")
    lines = [re.sub(r"(^|\s)#.*", "", line).strip() for line in joined.splitlines()]
    return [part.strip() for line in lines if line for part in line.split("&&")]


def spans() -> list[str]:
    """Every command of Shiftwork inside a sentence or table."""
    return [
        " ".join(span.split())
        for text in pages().values()
        for span in SPAN.findall(BLOCK.sub("", text))
    ]
