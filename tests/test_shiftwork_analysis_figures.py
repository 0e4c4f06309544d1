import html
import re

import numpy as np
import pytest

from shiftwork import analysis_figures as draw
from shiftwork.quant.tensor_analysis import AnalysisOptions, TensorAnalyzer, analyze_tensor


@pytest.fixture
def tensor():
    x = np.random.default_rng(1).standard_t(3, size=2000).astype(np.float32)
    analyzer = TensorAnalyzer(name="t", kind="weights", shape=(2000,), options=AnalysisOptions())
    return analyze_tensor(analyzer, [x])


def words(svg):
    """The texts of a figure."""
    texts = re.findall(r"<text\b.*?</text>", svg, re.DOTALL)
    return [html.unescape(re.sub(r"<[^>]*>", "", text)).strip() for text in texts]


def test_magnitudes_are_coloured_by_what_the_scale_holds(tensor):
    fine, coarse = (tensor.scales[-1], tensor.scales[0])
    fine_svg, coarse_svg = (draw.magnitudes(tensor, scale) for scale in (fine, coarse))
    bars = len(tensor.binades)
    for svg, scale in ((fine_svg, fine), (coarse_svg, coarse)):
        colours = [svg.count(f"fill: {c}") for c in (draw.AMBER, draw.BLUE, draw.RED)]
        below = sum(binade < -scale.exponent - 1 for binade, _ in tensor.binades)
        above = sum(binade >= 7 - scale.exponent for binade, _ in tensor.binades)
        assert colours == [below, bars - below - above, above]
    assert f"values; shaded: held at 2^{-fine.exponent}" in words(fine_svg)


def test_error_curves_name_the_methods(tensor):
    texts = " ".join(words(draw.error_curves(tensor)))
    for method in ("max", "MSE", "percentile", "KL"):
        assert method in texts
    assert f"2^{-tensor.scales[0].exponent}" in texts


def test_errors_beyond_half_a_step_are_red(tensor):
    finest, coarsest = tensor.scales[-1], tensor.scales[0]
    assert draw.RED in draw.errors(tensor, finest)
    assert draw.RED not in draw.errors(tensor, coarsest)
