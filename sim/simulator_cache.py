"""Where built simulators are kept, and how a folder gets there complete or not at all."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shiftwork.errors import OutputError, ToolError

KEPT_SIMULATORS = 64


def default_folder() -> Path:
    """The user's cache: ``$XDG_CACHE_HOME/shiftwork/simulators``."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "shiftwork" / "simulators"


def prepare(folder: Path) -> None:
    """Makes a folder that can be written to.

    Raises:
        OutputError: if that is impossible.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OutputError(
            f"simulators cannot be kept in {folder}: {error.strerror}; name another build folder"
        ) from error


def use(folder: Path) -> bool:
    """Whether a simulator is there; if so it is marked as used now."""
    if not folder.is_dir():
        return False
    os.utime(folder)
    return True


def prune(folder: Path, *, keep: int = KEPT_SIMULATORS) -> None:
    """Removes all simulators but the ``keep`` that were used last."""
    by_age = sorted(folder.glob("*/"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in by_age[keep:]:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A folder to fill, which becomes ``target`` at the end, unless another process was faster."""
    partial = Path(tempfile.mkdtemp(dir=target.parent, prefix=".partial-"))
    try:
        yield partial
        if not target.exists():
            _rename(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _rename(partial: Path, target: Path) -> None:
    partial.chmod(0o755)
    try:
        partial.rename(target)
    except OSError:
        if not target.is_dir():
            raise


@contextmanager
def kept_log(folder: Path, name: str) -> Iterator[Path]:
    """The path of a log file, which stays only if the tool that writes it fails."""
    log = folder / f"{name}-{os.getpid()}.log"
    try:
        yield log
    except ToolError:
        raise
    except BaseException:
        log.unlink(missing_ok=True)
        raise
    log.unlink(missing_ok=True)
