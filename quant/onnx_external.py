"""Constants that an ONNX model keeps in files beside it."""

from pathlib import Path
from typing import Any

import onnx

from shiftwork.errors import ModelError
from shiftwork.quant.source_checks import MAX_FILE_BYTES


def load_external_data(path: Path, proto: Any) -> None:
    """Puts the content of the other files into ``proto``.

    Raises:
        ModelError: if a file cannot be read, lies outside of the model's folder, is shorter than
            the model says, or all of them are larger than any model.
    """
    total = 0
    for tensor in proto.graph.initializer:
        if not is_external(tensor):
            continue
        try:
            data = _read(path.parent, tensor)
        except (OSError, ValueError, ModelError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise ModelError(
                f"{path}: the external data of tensor '{tensor.name}' cannot be read ({reason}); "
                "keep the data file beside the model"
            ) from error
        total += len(data)
        if total > MAX_FILE_BYTES:
            raise ModelError(
                f"{path} has more than {MAX_FILE_BYTES} bytes of external data, more than fits "
                "any supported board"
            )
        tensor.raw_data = data
        tensor.data_location = onnx.TensorProto.DEFAULT
        del tensor.external_data[:]


def is_external(tensor: Any) -> bool:
    """Whether the content of ``tensor`` is in another file."""
    return bool(tensor.data_location == onnx.TensorProto.EXTERNAL)


def locate(folder: Path, tensor: Any) -> tuple[Path, int, int]:
    """Where the content of the external ``tensor`` lies: a file, an offset and a length in bytes.

    Raises:
        ModelError: if there is no such file in ``folder``, or it is too short.
        ValueError: if offset or length are no numbers.
    """
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = Path(entries.get("location", ""))
    file = (folder / location).resolve()
    if location.is_absolute() or not file.is_relative_to(folder.resolve()):
        raise ModelError(f"'{location}' lies outside of the model's folder")
    if not file.is_file():
        raise ModelError(f"there is no file '{location}'")
    size = file.stat().st_size
    offset = int(entries.get("offset", 0))
    length = int(entries.get("length", size - offset))
    if min(offset, length) < 0 or offset + length > size:
        raise ModelError(
            f"'{location}' has {size} bytes, not the {length} from {offset} on that are needed"
        )
    return file, offset, length


def _read(folder: Path, tensor: Any) -> bytes:
    file, offset, length = locate(folder, tensor)
    if length > MAX_FILE_BYTES:
        raise ModelError(f"{length} bytes are needed; at most {MAX_FILE_BYTES} are read")
    with file.open("rb") as stream:
        stream.seek(offset)
        return stream.read(length)
