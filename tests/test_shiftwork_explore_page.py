import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from shiftwork import explore_page
from shiftwork.boards.registry import find
from shiftwork.explore import Exploration
from shiftwork.explore_networks import Quantized
from shiftwork.explore_page import render, write
from shiftwork.explore_points import Design, Point
from shiftwork.explore_synthesis import Synthesized

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
VOID = {"meta", "input", "br"}
MEASURE = f"""<script>
document.documentElement.style.width = "{PHONE}px";
const set = (name, value) => {{ document.body.dataset[name] = value; }};
const change = (element) => element.dispatchEvent(new Event("change"));
const shown = () => document.querySelectorAll("#plot circle:not(.hidden)").length;
const filled = () => document.querySelectorAll("#plot circle.front:not(.hidden)").length;
const boxes = (name) => [...document.querySelectorAll(`input[name=${{name}}]`)];
const at = (index) => document.querySelector(`circle[data-index="${{index}}"]`);
const touch = (index, kind) => {{
  const area = at(index).getBoundingClientRect();
  const place = {{ clientX: area.x + area.width / 2, clientY: area.y + area.height / 2 }};
  document.getElementById("plot").dispatchEvent(new PointerEvent(kind, place));
  return document.getElementById("panel").innerText;
}};
set("width", document.querySelector("main").scrollWidth);
set("plot", Math.round(document.getElementById("plot").getBoundingClientRect().width));
set("wide", [...document.querySelectorAll(".side *")].filter(
  (item) => item.getBoundingClientRect().right > {PHONE}).length);
set("all", `${{shown()}} ${{filled()}}`);
set("hover", touch(0, "pointermove"));
set("tap", touch(1, "click"));
set("alike", touch(2, "click"));
const before = at(0).getAttribute("cx");
const across = document.getElementById("axis-x");
across.value = "1";
change(across);
set("moved", before !== at(0).getAttribute("cx"));
set("label", document.getElementById("label-x").textContent);
set("tick", document.querySelector("#ticks text").textContent);
const only = document.getElementById("front-only");
only.checked = true;
change(only);
set("front", shown());
only.checked = false;
boxes("board").forEach((box, index) => {{ box.checked = index === 1; change(box); }});
set("board", `${{shown()}} ${{filled()}} ${{document.getElementById("count").textContent}}`);
boxes("series")[0].checked = false;
change(boxes("series")[0]);
set("series", shown());
set("loads", performance.getEntriesByType("resource").length);
</script>"""


def quantized(name, accuracy):
    return Quantized(
        name=name,
        network="net <1>",
        digest="00",
        macs=10,
        options=None,
        content=b"",
        samples=200,
        accuracy_float=98.5,
        accuracy=accuracy,
        agreement=99.0,
        sqnr_db=31.5,
    )


def point(board, quantization="int8", *, rows=1, cycles=1000, lut=2000, clock=None, problem=""):
    design = Design(
        cycles=cycles,
        utilization=0.8,
        lut=lut,
        lut_percent=40.0,
        ff=5,
        bram=12,
        dsp=4,
        fmax_mhz=50.0,
        energy=2.5,
    )
    return Point(
        quantization=quantization,
        board=board,
        rows=rows,
        columns=8,
        clock_mhz=clock,
        design=Design(problem=problem) if problem else design,
    )


@pytest.fixture(scope="module")
def found():
    return Exploration(
        network="net <1>",
        area="lut",
        measure="accuracy",
        quantized=(quantized("int8", 98.0), quantized("int4", 97.0)),
        boards=tuple(map(find, ("icebreaker", "ulx3s-85f", "ulx3s-25f"))),
        points=(
            point("icebreaker", cycles=5000),
            point("icebreaker", "int4", cycles=9000, clock=80.0, lut=2400),
            point("ulx3s-85f", cycles=1000, lut=4000),
            point("ulx3s-25f", cycles=1000, lut=4000),
            point("ulx3s-85f", "int4", cycles=1200, lut=5000),
            point("icebreaker", rows=8, problem="the logic <does> not fit; use a larger board"),
        ),
        front=(2, 3, 0),
        board_fronts=frozenset({0, 2, 3, 4}),
        reused=0,
        versions={"shiftwork": "0.1.0"},
    )


@pytest.fixture(scope="module")
def results():
    return (
        Synthesized(index=2, routed=True, lut=4200, bram=12, dsp=4, fmax_mhz=48.0, latency_us=20.8),
        Synthesized(index=0, problem="yosys <failed>"),
    )


@pytest.fixture(scope="module")
def page(found, results):
    return render(found, results, "shiftwork explore 'net <1>.onnx' -o out")


class Reader(HTMLParser):
    """Collects headings, cells and links, and checks that tags are closed in order."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.headings, self.links, self.open = [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.links += [value for key, value in attributes if key in ("src", "href", "xlink:href")]
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
        elif tag == "h2":
            self.headings.append("")

    def handle_startendtag(self, tag, attributes):
        self.links += [value for key, value in attributes if key in ("src", "href", "xlink:href")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data
        elif self.open and self.open[-1] == "h2":
            self.headings[-1] += data


def test_picture_first_then_tables(page):
    assert Reader(page).headings == [
        "The points",
        "On the Pareto front",
        "Synthesized",
        "Board by board",
        "Quantizations",
        "How to reproduce this",
    ]
    assert page.index("<svg") < page.index("<table")


def test_tables(page):
    rows = Reader(page).rows
    fastest = ["ulx3s-85f", "1 x 8", "int8", "50.0 MHz", "20 µs", "1,000", "4,000 (40 %)"]
    assert [*fastest, "12", "4", "2.5", "98.00 %"] in rows
    slow = next(row for row in rows if row[:3] == ["icebreaker", "1 x 8", "int4"])
    assert slow[3:5] == ["50.0 MHz, not 80", "180 µs"]
    assert ["icebreaker", "3", "2", "int8 1 x 8", "100 µs", "40 %", "1"] in rows
    assert ["int4", "97.00 %", "98.50 %", "99.00 %", "31.5 dB", "200"] in rows
    made = ["int8 1 x 8", "ulx3s-85f", "4,200", "4,000 (-4.8 %)", "12 (12)", "4 (4)"]
    assert [*made, "48.0 MHz", "50.0 MHz (+4.2 %)"] in rows
    assert ["int8 1 x 8", "icebreaker", "-", "2,000", "-", "-", "-", "-"] in rows
    assert ["int8 8 x 8, icebreaker", "the logic <does> not fit; use a larger board"] in rows


def test_says_what_matters(page):
    text = " ".join(re.sub("<[^>]+>", " ", page).split())
    assert "of latency, lookup tables, energy proxy and accuracy." in text
    assert "Energy is a proxy, not joules" in text
    assert "The other 2 points that fit" in text
    assert "1 designs that do not fit, and why" in text
    assert "yosys &lt;failed&gt;" in text
    assert "net <1>" not in page


def test_without_script_there_is_a_picture_with_its_points(page):
    picture = page[page.index("<svg") : page.index("</svg>")]
    assert picture.count("<circle") == 5
    assert "ulx3s-85f, 1 x 8, int8\n20 µs: 1,000 cycles at 50.0 MHz" in picture
    assert '<div id="controls" hidden>' in page
    assert page.count("checked hidden>") == 5


def test_is_self_contained_and_deterministic(found, results, page):
    assert Reader(page).links == []
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")
    assert "@media print" in page
    assert render(found, results, "shiftwork explore 'net <1>.onnx' -o out") == page


def test_nothing_fits(found):
    page = render(
        replace(found, points=found.points[5:], front=(), board_fronts=frozenset()), (), "command"
    )
    assert "No design fits its board." in page
    assert "<svg" not in page
    assert ["icebreaker", "1", "0", "-", "-", "-", "-"] in Reader(page).rows


def test_without_any_measure(found):
    plain = replace(quantized("as stored", None), agreement=None, sqnr_db=None)
    points = tuple(replace(point, quantization="as stored") for point in found.points)
    page = render(replace(found, measure=None, quantized=(plain,), points=points), (), "command")
    assert "of latency, lookup tables and energy proxy." in page
    assert "Quantizations" not in Reader(page).headings
    assert 'name="series"' not in page


def test_noise_as_an_axis(found):
    first, second = found.quantized
    exact = replace(first, sqnr_db=None)
    page = render(replace(found, measure="sqnr", quantized=(exact, second)), (), "command")
    assert "SQNR, dB (more is better)" in page
    assert "SQNR exact" in page
    assert "SQNR 31.5 dB" in page


def test_a_large_sweep_stays_readable(found, monkeypatch):
    monkeypatch.setattr(explore_page, "MOST_MARKS", 7)
    monkeypatch.setattr(explore_page, "MOST_ROWS", 3)
    slow = tuple(point("icebreaker", rows=n, cycles=6000 + n, lut=3000 + n) for n in range(2, 12))
    large = replace(found, points=found.points[:5] + slow)
    page = render(large, (), "command")
    # Four points are on a front; of the eleven others every fourth one is left.
    assert page.count("<circle") == 7
    assert "8 points that are on no front are not in the picture." in page
    assert "The other 12 points that fit" in page
    assert "and 9 more, in explore.json" in page


def test_writes_page_and_record(found, results, tmp_path):
    record = write(found, results, tmp_path / "out", command="command")
    assert record["command"] == "command"
    assert record["synthesized"][1] == results[1].as_dict()
    assert (tmp_path / "out" / "explore.html").read_text() == render(found, results, "command")
    assert '"front": [\n  2,\n  3,\n  0\n ]' in (tmp_path / "out" / "explore.json").read_text()


def browse(path, profile):
    """The page as Chromium sees it, and the messages on its console."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("needs a Chromium: apt-get install chromium")
    command = [browser, *FLAGS, f"--user-data-dir={profile}", "--dump-dom", path.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def test_a_browser_lets_one_look_around_on_a_phone(tmp_path, page):
    path = tmp_path / "page.html"
    path.write_text(page.replace("</body>", f"{MEASURE}</body>"))
    dom, console = browse(path, tmp_path / "profile")
    assert console == []
    body = next(line for line in dom.splitlines() if line.startswith("<body "))
    seen = dict(re.findall(r'data-(\w+)="([^"]*)"', dom[dom.index(body) :].split("<main>")[0]))
    assert seen["width"] == f"{PHONE}"
    assert int(seen["plot"]) > 300
    assert seen["wide"] == "0"
    assert seen["loads"] == "0"
    assert seen["all"] == "5 3"
    assert seen["hover"].startswith("icebreaker, 1 x 8, int8\n100 µs: 5,000 cycles at 50.0 MHz")
    assert seen["tap"].startswith("icebreaker, 1 x 8, int4\n180 µs: 9,000 cycles at 50.0 MHz, not")
    assert "ulx3s-85f, 1 x 8, int8" in seen["alike"]
    assert "ulx3s-25f, 1 x 8, int8" in seen["alike"]
    assert seen["moved"] == "true"
    assert seen["label"] == "lookup tables (less is better)"
    assert seen["tick"] == "2,000"
    assert seen["front"] == "3"
    # One board alone shows its own front.
    assert seen["board"] == "2 2 2 of 5 points shown"
    assert seen["series"] == "1"
