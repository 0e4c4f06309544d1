import xml.etree.ElementTree as ElementTree

import numpy as np

from shiftwork.figures import Bar, bars, histogram

LONG = "/features/features.0/Conv_output"


def test_bars_are_svg_and_deterministic():
    entries = [Bar(LONG, 40.0, "40 dB"), Bar("b", 3.0, "3 dB"), Bar("over", 120.0, "x", alarm=True)]
    first, second = (bars("title", entries, limit=100) for _ in range(2))
    assert first == second
    assert ElementTree.fromstring(first).tag.endswith("svg")


def test_no_bars():
    assert bars("title", []).startswith("<svg")


def test_histogram():
    weights = np.arange(-128, 128, dtype=np.int64).astype(np.int8).reshape(4, 64)
    text = histogram("conv", weights)
    assert text == histogram("conv", weights)
    assert ElementTree.fromstring(text).tag.endswith("svg")


def test_titles_are_escaped():
    ElementTree.fromstring(histogram("a < b & c", np.zeros((1, 1), np.int8)))
