"""What MkDocs does beyond its configuration: the notebook becomes a page.

The notebook is kept executed; its code, texts and pictures are taken from the file. Pages link to
the notebook itself, so that the links hold in the repository too.
"""

from pathlib import Path

import nbformat
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from nbconvert import MarkdownExporter

NOTEBOOK = "notebook.ipynb"
PAGE = "notebook.md"
PICTURES = "notebook_files"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Replaces the notebook by a page in Markdown and its pictures."""
    notebook = nbformat.read(Path(config.docs_dir) / NOTEBOOK, as_version=4)
    text, resources = MarkdownExporter().from_notebook_node(
        notebook, resources={"output_files_dir": PICTURES}
    )
    source = files.get_file_from_path(NOTEBOOK)
    if source is not None:
        files.remove(source)
    files.append(File.generated(config, PAGE, content=text))
    for name, content in resources["outputs"].items():
        files.append(File.generated(config, name, content=content))
    return files


def on_page_markdown(markdown: str, **_: object) -> str:
    """Links to the notebook lead to its page."""
    return markdown.replace(f"]({NOTEBOOK})", f"]({PAGE})")
