"""Writes pages, drawings and the notebook's outputs anew: ``cd docs && python -m generators``."""

from pathlib import Path

import nbformat
from generators.content import generated
from generators.notebook import NOTEBOOK, executed

DOCS = Path(__file__).parents[1]

for name, text in generated().items():
    path = DOCS / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
nbformat.write(executed(), NOTEBOOK)
