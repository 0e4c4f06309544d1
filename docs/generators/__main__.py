"""Writes the generated pages and drawings anew: ``cd docs && python -m generators``."""

from pathlib import Path

from generators.content import generated

DOCS = Path(__file__).parents[1]

for name, text in generated().items():
    path = DOCS / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
