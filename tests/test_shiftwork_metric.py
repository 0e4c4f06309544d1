import pytest

from shiftwork.errors import DataError
from shiftwork.metric import load_metric


def test_a_function_of_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_metric_of_zeros.py").write_text("def mean(x, outputs, y):\n    return 0.5\n")
    assert load_metric("my_metric_of_zeros:mean")(None, None, None) == 0.5


def test_an_installed_function():
    assert load_metric("math:hypot")(3, 4) == 5


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("math", "must be named module:function, not 'math'"),
        (":f", "must be named module:function, not ':f'"),
        ("no_such_module_here:f", "cannot be imported .*current folder"),
        ("math:nothing", "the module 'math' has no function 'nothing'"),
        ("math:pi", "the module 'math' has no function 'pi'"),
    ],
)
def test_errors(name, text):
    with pytest.raises(DataError, match=text):
        load_metric(name)
