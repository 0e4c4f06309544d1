import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest

from shiftwork.analysis_page import render
from shiftwork.quant.analysis import NetworkAnalysis
from shiftwork.quant.tensor_analysis import AnalysisOptions, TensorAnalyzer, analyze_tensor

PHONE = 390
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--enable-logging=stderr",
    "--virtual-time-budget=2000",
]
MEASURE = f"""<script>
document.documentElement.style.width = "{PHONE}px";
document.body.dataset.width = document.querySelector("main").scrollWidth;
document.body.dataset.pictures = [...document.querySelectorAll("svg")].filter(
  svg => svg.getBoundingClientRect().width > 200 && svg.getBoundingClientRect().height > 80
).length;
document.body.dataset.loads = performance.getEntriesByType("resource").length;
</script>"""


def tensor(name, kind, values):
    x = np.asarray(values, np.float32)
    analyzer = TensorAnalyzer(name=name, kind=kind, shape=x.shape, options=AnalysisOptions())
    return analyze_tensor(analyzer, [x.reshape(-1)])


@pytest.fixture(scope="module")
def analysis():
    rng = np.random.default_rng(1)
    return NetworkAnalysis(
        name="net <1>",
        bits=8,
        percentile=99.99,
        samples=12,
        as_stored=None,
        tensors=(
            tensor("<conv>", "weights", rng.standard_t(3, size=(8, 3, 3, 4))),
            tensor("zero", "weights", np.zeros((2, 2))),
            tensor("pixels", "input", np.arange(256)),
            tensor("<conv>", "activation", np.maximum(rng.normal(size=400), 0)),
        ),
    )


@pytest.fixture(scope="module")
def page(analysis):
    return render(analysis, "shiftwork analyze 'net <1>.onnx' -o out")


class Reader(HTMLParser):
    """Collects the text outside of pictures, the headings and the cells of tables."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.headings, self.links, self.tag = [], [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tag = tag
        self.links += [value for key, value in attributes if key in ("src", "href", "xlink:href")]
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
        elif tag == "h2":
            self.headings.append("")

    def handle_data(self, data):
        if self.tag in ("td", "th"):
            self.rows[-1][-1] += data.strip("\n")
        elif self.tag == "h2":
            self.headings[-1] += data.strip("\n")


def test_pictures_come_first_then_tables(page):
    assert Reader(page).headings == [
        "Which tensors lose most",
        "weights of <conv>, 8 x 3 x 3 x 4",
        "weights of zero, 2 x 2",
        "pixels, 256",
        "output of <conv>, 400",
        "All tensors",
        "The recommended scales",
        "All scales",
        "How to reproduce this",
    ]
    assert page.count("<svg") == 2 + 3 * 4
    assert page.rindex("<svg") < page.index("<table")


def test_tables_hold_the_analysis(analysis, page):
    rows = Reader(page).rows
    first = analysis.tensors[0]
    spread = f"{first.least:.4g} to {first.greatest:.4g}"
    assert ["<conv>", "weights", "288", spread, "0.0 %", "288"] == rows[1][:6]
    exponent = first.recommended["kl"].exponent
    chosen = next(row for row in rows if row[0] == "weights of <conv>")
    assert chosen[4].startswith(f"2^{-exponent}, ")
    count = sum(len(t.scales) for t in analysis.tensors)
    steps = [row for row in rows if len(row) == 7 and re.fullmatch(r"2\^-?\d+", row[1])]
    assert len(steps) == count
    assert ["pixels", "2^0", "0.000 %", "0.000 %", "0", "exact"] in [row[:6] for row in steps]


def test_says_why_the_weights_are_as_stored(analysis):
    changed = NetworkAnalysis(**(vars(analysis) | {"as_stored": "node 'a' <b> is not supported"}))
    page = render(changed, "")
    assert "not folded. The reason: node &#x27;a&#x27; &lt;b&gt; is not supported." in page


def test_without_samples_there_are_no_activations(analysis, page):
    assert "activations, over 12 samples" in page
    weights = NetworkAnalysis(**(vars(analysis) | {"tensors": analysis.tensors[:2], "samples": 0}))
    alone = render(weights, "")
    assert "activations" not in alone
    assert alone.count("<svg") == 1 + 3 * 2


def test_is_self_contained_and_deterministic(analysis, page):
    assert all(link.startswith("#") for link in Reader(page).links)
    assert "<script" not in page
    assert "@media print" in page
    assert render(analysis, "shiftwork analyze 'net <1>.onnx' -o out") == page


def browse(path, profile):
    """The page as Chromium sees it, and the messages on its console."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("needs a Chromium: apt-get install chromium")
    command = [browser, *FLAGS, f"--user-data-dir={profile}", "--dump-dom", path.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def test_a_browser_shows_it_on_a_phone_without_complaint(tmp_path, page):
    path = tmp_path / "page.html"
    path.write_text(page.replace("</body>", f"{MEASURE}</body>"))
    dom, console = browse(path, tmp_path / "profile")
    assert console == []
    assert f'data-width="{PHONE}"' in dom
    assert 'data-pictures="14"' in dom
    assert 'data-loads="0"' in dom
    assert Reader(dom).rows == Reader(page).rows


def test_the_browser_reports_errors(tmp_path, page):
    path = tmp_path / "page.html"
    path.write_text(page.replace("</body>", "<script>missing()</script></body>"))
    _, console = browse(path, tmp_path / "profile")
    assert any("missing is not defined" in line for line in console)
