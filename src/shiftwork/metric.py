"""A user's own measure of a network's outputs, named on the command line."""

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from shiftwork.errors import DataError

if TYPE_CHECKING:
    from shiftwork.sim.comparison import Metric


def load_metric(name: str) -> "Metric":
    """The function that ``module:function`` names; the module may lie in the current folder.

    Raises:
        DataError: if there is no such function.
    """
    module_name, _, function_name = name.partition(":")
    if not module_name or not function_name:
        raise DataError(f"a metric must be named module:function, not '{name}'")
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise DataError(
            f"the metric '{name}' cannot be imported ({error}); the module must be installed, or "
            "lie in the current folder"
        ) from error
    finally:
        sys.path.remove(here)
    function = getattr(module, function_name, None)
    if not callable(function):
        raise DataError(f"the module '{module_name}' has no function '{function_name}'")
    return function
