"""A canvas for drawings: the same calls, the same bytes."""

from collections.abc import Iterable
from xml.sax.saxutils import escape

Point = tuple[float, float]

INK = "#263238"
FAINT = "#78909c"
PAPER = "#ffffff"
PALETTE = {
    "memory": "#fff3e0",
    "stream": "#e3f2fd",
    "compute": "#e0f2f1",
    "control": "#ede7f6",
    "rom": "#ffe0b2",
}
"""Fill colours by the role of a block."""

FONT = "Helvetica, Arial, 'DejaVu Sans', sans-serif"
ARROW = (
    '<marker id="{name}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
    'orient="auto-start-reverse"><path d="M0 0L8 4L0 8z" fill="{colour}"/></marker>'
)


def number(value: float) -> str:
    """At most one digit after the point."""
    return f"{value:.1f}".rstrip("0").rstrip(".")


class Canvas:
    """An SVG picture on white paper, so that it is legible on a dark page too.

    Parameters:
        width, height: in pixels at its natural size.
        title: what a screen reader says.
    """

    def __init__(self, width: float, height: float, title: str) -> None:
        self.width = width
        self.height = height
        self.title = title
        self._parts: list[str] = []

    def box(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        *,
        fill: str,
        stroke: str = INK,
        radius: float = 6,
    ) -> None:
        """A rectangle."""
        self._parts.append(
            f'<rect x="{number(x)}" y="{number(y)}" width="{number(width)}" '
            f'height="{number(height)}" rx="{number(radius)}" fill="{fill}" stroke="{stroke}"/>'
        )

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: float = 13,
        anchor: str = "middle",
        weight: str = "normal",
        fill: str = INK,
    ) -> None:
        """A line of text, its base line at y."""
        self._parts.append(
            f'<text x="{number(x)}" y="{number(y)}" font-size="{number(size)}" '
            f'text-anchor="{anchor}" font-weight="{weight}" fill="{fill}">{escape(text)}</text>'
        )

    def line(self, points: Iterable[Point], *, stroke: str = FAINT, width: float = 1) -> None:
        """A line through points."""
        self._polyline(points, stroke, width, "")

    def arrow(self, points: Iterable[Point], *, control: bool = False) -> None:
        """An arrow through points: of data, or, thin and dashed, of control."""
        if control:
            extra = ' stroke-dasharray="4 3" marker-end="url(#control)"'
            self._polyline(points, FAINT, 1.2, extra)
        else:
            self._polyline(points, INK, 1.8, ' marker-end="url(#data)"')

    def _polyline(self, points: Iterable[Point], stroke: str, width: float, extra: str) -> None:
        path = " ".join(f"{number(x)},{number(y)}" for x, y in points)
        self._parts.append(
            f'<polyline points="{path}" fill="none" stroke="{stroke}" '
            f'stroke-width="{number(width)}"{extra}/>'
        )

    def render(self) -> str:
        """The file's text."""
        size = f"{number(self.width)} {number(self.height)}"
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}" '
            f'width="{number(self.width)}" height="{number(self.height)}" '
            f'font-family="{FONT}" role="img">'
        )
        markers = ARROW.format(name="data", colour=INK) + ARROW.format(name="control", colour=FAINT)
        lines = [
            head,
            f"<title>{escape(self.title)}</title>",
            f"<defs>{markers}</defs>",
            f'<rect width="100%" height="100%" rx="8" fill="{PAPER}"/>',
            *self._parts,
            "</svg>",
        ]
        return "\n".join(lines) + "\n"
