"""What the pages for a browser are made of: one HTML file each that needs nothing else."""

import html
from collections.abc import Iterable, Sequence

STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; color: #1b1f24; background: #f4f5f7; margin: 0; }
main { max-width: 62rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.5rem; margin: .5rem 0; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; overflow-wrap: anywhere; }
p { max-width: 44rem; overflow-wrap: anywhere; }
.facts { display: grid; grid-template-columns: repeat(auto-fill, minmax(10rem, 1fr)); gap: .6rem; }
.facts div, figure { background: white; border: 1px solid #d9dce1; border-radius: 6px; }
.facts div { padding: .5rem .7rem; }
.facts b { display: block; font-size: 1.2rem; }
.facts span { font-size: .82rem; color: #4c545e; }
.figures { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 19rem), 1fr));
  gap: .6rem; align-items: start; }
figure { margin: 0; padding: .4rem; }
figure svg { width: 100%; height: auto; display: block; }
.strips { margin-top: .6rem; padding: .6rem .7rem; }
figcaption { font-weight: 600; margin-bottom: .3rem; overflow-wrap: anywhere; }
.legend li { min-width: 0; overflow-wrap: anywhere; }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: .1rem 1rem; margin: 0 0 .5rem;
  padding: 0; font-size: .85rem; }
.legend svg { display: inline-block; width: .8rem; height: .8rem; vertical-align: -.05rem; }
.strip { display: grid; grid-template-columns: 12rem 1fr 11.5rem; gap: 0 .7rem; align-items: center;
  font-size: .88rem; padding: .12rem 0; break-inside: avoid; }
.strip .name { overflow-wrap: anywhere; line-height: 1.2; }
.strip .value { text-align: right; line-height: 1.2; font-variant-numeric: tabular-nums; }
.strip svg { width: 100%; height: 1.25rem; outline: 1px solid #c3c8cf; background: #fbfbfc; }
.strong { font-weight: 700; color: #8f2019; }
.axis { display: flex; justify-content: space-between; font-size: .82rem; color: #4c545e;
  margin: .1rem 12.2rem 0 12.7rem; }
.heat .scroll { margin: 0; border: 0; }
.again { margin: .4rem 0 0; font-size: .82rem; color: #4c545e; max-width: none; }
.again code { display: block; color: #1b1f24; user-select: all; }
.again span { display: inline-block; max-width: 100%; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; margin-top: .6rem; background: white; border: 1px solid #d9dce1;
  border-radius: 6px; }
table { border-collapse: collapse; width: 100%; font-size: .88rem; }
th, td { padding: .3rem .6rem; text-align: right; white-space: nowrap; }
th { border-bottom: 1px solid #d9dce1; }
th:first-child, td:first-child { text-align: left; white-space: normal; min-width: 6.5rem;
  overflow-wrap: anywhere; }
tr:nth-child(even) td { background: #f8f9fa; }
pre { background: #1b1f24; color: #f4f5f7; padding: .8rem; border-radius: 6px; overflow-x: auto;
  white-space: pre-wrap; overflow-wrap: anywhere; font-size: .85rem; }
@media (max-width: 40rem) {
  .strip { grid-template-columns: 1fr auto; padding: .2rem 0; }
  .strip svg { grid-row: 2; grid-column: 1 / 3; }
  .axis { margin: .1rem 0 0; }
}
@media print {
  body, main { background: white; max-width: none; padding: 0; font-size: 12px; }
  figure, table, pre { break-inside: avoid; }
  h2 { break-after: avoid; }
  .scroll { overflow: visible; }
  pre { background: white; color: black; border: 1px solid #c3c8cf; }
}
"""


def document(title: str, *parts: str, style: str = "") -> str:
    """The page as HTML text, from its title in plain text and its parts in HTML.

    Args:
        style: CSS beside that of all pages.
    """
    title, body = html.escape(title), "\n".join(parts)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{STYLE}{style}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>{title}</h1>\n{body}\n</main>\n</body>\n</html>\n"
    )


def cards(facts: Iterable[tuple[str, str]]) -> str:
    """Values, each with its label below it."""
    inside = "".join(
        f"<div><b>{html.escape(value)}</b><span>{html.escape(label)}</span></div>"
        for value, label in facts
    )
    return f'<div class="facts">{inside}</div>'


def figures(charts: Iterable[str], *, framed: bool = True) -> str:
    """Pictures, as many beside each other as the screen has room for.

    Args:
        charts: SVG pictures, or whole figures.
        framed: make figures of them.
    """
    parts = (f"<figure>{chart}</figure>" if framed else chart for chart in charts)
    return f'<div class="figures">{"".join(parts)}</div>'


def reproduce(*commands: str) -> str:
    """Below a figure: the commands that give its numbers again."""
    lines = "".join(f"<code>{_words(command)}</code>" for command in commands)
    return f'<p class="again">Reproduce with:{lines}</p>'


def _words(command: str) -> str:
    """A command whose lines break between words, and not within an option."""
    return " ".join(f"<span>{html.escape(word)}</span>" for word in command.split(" "))


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of plain text."""
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in header)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>\n"
        for row in rows
    )
    return f'<div class="scroll"><table><tr>{head}</tr>\n{body}</table></div>'
