"""The documentation as a site: it builds without warnings, and reads without a network."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from docs_pages import ROOT

LIMIT_S = 300
FETCHED = re.compile(
    r"<(?:script|link|img|iframe|source)\b[^>]*?\b(?:src|href)=[\"']?(https?:[^\"' >]*)"
)


def build(folder: Path, target: Path) -> subprocess.CompletedProcess[str]:
    """Builds the site of a copy of the documentation."""
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", str(target)],
        cwd=folder,
        # The theme's note about MkDocs itself is no warning about these pages.
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_S,
    )


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The documentation and its configuration."""
    folder = tmp_path_factory.mktemp("copy")
    shutil.copytree(ROOT / "docs", folder / "docs", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "mkdocs.yml", folder)
    return folder


@pytest.fixture(scope="module")
def site(copy: Path) -> Path:
    """The built site."""
    done = build(copy, copy / "site")
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stdout + done.stderr
    return copy / "site"


def test_every_page_is_built(site: Path) -> None:
    sources = {path.relative_to(ROOT / "docs") for path in (ROOT / "docs").glob("**/*.md")}
    built = {path.relative_to(site) for path in site.glob("**/*.html")}
    assert {source.with_suffix(".html") for source in sources} <= built
    assert Path("notebook.html") in built
    assert not list(site.glob("generators/**"))


def test_pages_fetch_nothing_from_the_network(site: Path) -> None:
    for page in site.glob("**/*.html"):
        assert not FETCHED.findall(page.read_text()), page
    for style in site.glob("**/*.css"):
        assert not re.findall(r"url\([\"']?https?:|@import", style.read_text()), style


def test_the_notebook_has_its_pictures(site: Path) -> None:
    page = (site / "notebook.html").read_text()
    pictures = re.findall(r'src="(notebook_files/[^"]+\.png)"', page)
    assert len(pictures) == 4
    assert all((site / name).is_file() for name in pictures)


def test_links_to_the_notebook_lead_to_its_page(site: Path) -> None:
    assert 'href="notebook.html"' in (site / "index.html").read_text()


def test_a_page_that_is_missing_from_the_navigation_is_an_error(copy: Path, tmp_path: Path) -> None:
    stray = shutil.copytree(copy, tmp_path / "stray", ignore=shutil.ignore_patterns("site"))
    (stray / "docs" / "stray.md").write_text("# A page without a place\n")
    done = build(stray, tmp_path / "site")
    assert done.returncode != 0
    assert "stray.md" in done.stderr


def test_a_broken_link_is_an_error(copy: Path, tmp_path: Path) -> None:
    broken = shutil.copytree(copy, tmp_path / "broken", ignore=shutil.ignore_patterns("site"))
    with (broken / "docs" / "index.md").open("a") as page:
        page.write("\n[a link](nowhere.md)\n")
    done = build(broken, tmp_path / "site")
    assert done.returncode != 0
    assert "nowhere.md" in done.stderr
