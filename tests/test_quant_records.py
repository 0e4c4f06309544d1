from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from shiftwork.quant.records import from_json


@dataclass(frozen=True)
class Record:
    name: str
    pair: tuple[int, int] = (1, 1)
    several: tuple[float, ...] | None = None
    gain: float = 1.0
    flag: bool = False
    info: dict[str, str] = field(default_factory=dict)
    array: NDArray[np.int8] | None = None
    kind: Literal["one", "other"] = "one"


def test_every_kind_of_field():
    values = {"name": "a", "pair": [2, 3], "several": [1, 2.5], "gain": 2, "flag": True}
    record = from_json(Record, values | {"info": {"key": "value"}}, array=np.zeros(3))
    assert (record.name, record.pair, record.several, record.gain) == ("a", (2, 3), (1, 2.5), 2)
    assert record.flag
    assert record.info == {"key": "value"}
    assert record.array is not None


def test_one_of_several_texts():
    assert from_json(Record, {"name": "a", "kind": "other"}).kind == "other"


def test_optional_fields_may_be_none_or_left_out():
    assert from_json(Record, {"name": "a", "several": None}) == Record("a")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": 3}, "the field 'name' of a Record cannot be 3"),
        ({"name": "a", "kind": "none"}, "the field 'kind' of a Record cannot be 'none'"),
        ({"name": "a", "pair": [1]}, r"'pair' of a Record cannot be \(1,\)"),
        ({"name": "a", "pair": [1, 2.0]}, "'pair' of a Record cannot be"),
        ({"name": "a", "pair": [1, True]}, "'pair' of a Record cannot be"),
        ({"name": "a", "pair": 7}, "'pair' of a Record cannot be 7"),
        ({"name": "a", "several": ["x"]}, "'several' of a Record cannot be"),
        ({"name": "a", "gain": True}, "'gain' of a Record cannot be True"),
        ({"name": "a", "gain": "1"}, "'gain' of a Record cannot be '1'"),
        ({"name": "a", "flag": 1}, "'flag' of a Record cannot be 1"),
        ({"name": "a", "info": {"key": 1}}, "'info' of a Record cannot be"),
        ({"name": "a", "array": [1]}, "'array' of a Record cannot be"),
        ({"name": "a", "colour": "red"}, "a Record has no field 'colour'"),
        ({}, "missing 1 required positional argument: 'name'"),
    ],
)
def test_fields_of_another_type(values, message):
    with pytest.raises(TypeError, match=message):
        from_json(Record, values)


def test_long_values_are_cut_in_messages():
    with pytest.raises(TypeError) as caught:
        from_json(Record, {"name": ["x" * 1000]})
    assert len(str(caught.value)) < 120
