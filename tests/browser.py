"""Shows a page in headless Chromium, and says what a reader would see of it."""

import html
import json
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--enable-logging=stderr",
    "--v=0",
)
LIMIT_S = 120
PROBE = """<!DOCTYPE html><html><body style="margin:0">
<iframe id="page" width="{width}" height="800" style="border:0" srcdoc="{page}"></iframe>
<script>
window.addEventListener("load", () => {{
  const inner = document.getElementById("page").contentDocument;
  const wide = [...inner.querySelectorAll("body *")].filter((element) =>
    !element.closest(".scroll") && !element.closest("svg")
    && element.getBoundingClientRect().right > {width} + 0.5);
  const sizes = [...inner.querySelectorAll("svg text")].map((element) =>
    element.getBoundingClientRect().height);
  document.body.setAttribute("data-seen", JSON.stringify({{
    scroll_width: inner.documentElement.scrollWidth,
    width: inner.documentElement.clientWidth,
    too_wide: wide.map((element) => element.outerHTML.slice(0, 80)),
    least_svg_text: sizes.length ? Math.min(...sizes) : null,
    text: inner.body.innerText,
  }}));
}});
</script></body></html>
"""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A page as the browser lays it out.

    Attributes:
        scroll_width, width: what the page takes, and has, in CSS pixels.
        too_wide: beginnings of the elements that reach beyond it; what scrolls by itself may.
        least_svg_text: height of the smallest text in a picture, in CSS pixels; None without any.
        text: what can be read and selected.
        console: messages on the console.
    """

    scroll_width: int
    width: int
    too_wide: tuple[str, ...]
    least_svg_text: float | None
    text: str
    console: tuple[str, ...]


def find_browser() -> str:
    """The browser's path; the test is skipped if there is none."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"no Chromium on PATH ({', '.join(NAMES)}): pages cannot be shown")
    return found


def show(page: str, *, width: int) -> Seen:
    """The page, an HTML text, in a frame of ``width`` CSS pixels.

    A frame, since the window of a browser cannot be as narrow as a phone.
    """
    probe = PROBE.format(width=width, page=html.escape(page, quote=True))
    result = run(probe, "--dump-dom", f"--window-size={max(width, 500)},900")
    found = re.search(r'data-seen="([^"]*)"', result.stdout)
    assert found is not None, result.stderr
    seen = json.loads(html.unescape(found[1]))
    console = tuple(line for line in result.stderr.splitlines() if ":CONSOLE" in line)
    return Seen(**seen | {"too_wide": tuple(seen["too_wide"]), "console": console})


def print_pages(page: str) -> bytes:
    """The page as a PDF."""
    with tempfile.TemporaryDirectory() as name:
        target = Path(name) / "page.pdf"
        result = run(page, "--no-pdf-header-footer", f"--print-to-pdf={target}")
        assert target.is_file(), result.stderr
        return target.read_bytes()


def run(page: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Chromium with a profile of its own, on the page in a file."""
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "page.html"
        file.write_text(page, encoding="utf-8")
        command = [find_browser(), *OPTIONS, f"--user-data-dir={name}/profile", *options]
        return subprocess.run(
            [*command, file.as_uri()], capture_output=True, text=True, timeout=LIMIT_S, check=True
        )
