"""Infer requests written both ways, as a client would: tensors in the JSON, or as bytes behind it."""

import json
import math
import struct
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

KINDS = {"FP64": "d", "FP32": "f", "FP16": "e", "BOOL": "?"} | {
    f"{sign}INT{bits}": letter.upper() if sign else letter
    for sign in ("", "U")
    for bits, letter in ((8, "b"), (16, "h"), (32, "i"), (64, "q"))
}
"""Format of one value as `struct` has it; BYTES have none."""


@dataclass(frozen=True)
class Column:
    """One input; None is a missing value."""

    datatype: str
    shape: tuple[int, ...]
    values: Sequence[Any]

    @property
    def has_bytes(self) -> bool:
        """Whether it can be sent as bytes: only floats have a missing value there."""
        return self.datatype.startswith("FP") or None not in self.values

    def packed(self) -> bytes:
        """Its values as bytes."""
        if self.datatype == "BYTES":
            texts = [text.encode() for text in self.values]
            return b"".join(struct.pack("<I", len(text)) + text for text in texts)
        values = [math.nan if value is None else value for value in self.values]
        return struct.pack(f"<{len(values)}{KINDS[self.datatype]}", *values)


def request(
    columns: Mapping[str, Column], binary: Collection[str] = (), **more: Any
) -> tuple[bytes, dict[str, str]]:
    """Body and headers of a request, with the inputs named in `binary` as bytes."""
    inputs, raws = [], []
    for name, column in columns.items():
        tensor: dict[str, Any] = {"name": name, "shape": list(column.shape), "datatype": column.datatype}
        if name in binary:
            raws.append(column.packed())
            tensor["parameters"] = {"binary_data_size": len(raws[-1])}
        else:
            tensor["data"] = list(column.values)
        inputs.append(tensor)
    header = json.dumps({"inputs": inputs, **more}).encode()
    if not raws:
        return header, {}
    return b"".join([header, *raws]), {"Inference-Header-Content-Length": str(len(header))}


def outputs(content: bytes, json_length: str | None) -> dict[str, list[Any]]:
    """The outputs of an answer by name; floats as the integers of their bits."""
    at = len(content) if json_length is None else int(json_length)
    found = {}
    for output in json.loads(content[:at])["outputs"]:
        size = output.get("parameters", {}).get("binary_data_size")
        if size is None:
            data = output["data"]
        else:
            assert "data" not in output
            data = _read(output["datatype"], content[at : at + size])
            at += size
        assert len(data) == math.prod(output["shape"])
        found[output["name"]] = bits(data) if output["datatype"] == "FP64" else data
    assert at == len(content)
    return found


def bits(scores: Sequence[float]) -> list[int]:
    """Floats as the integers of their bits."""
    seen: list[int] = np.array(scores, dtype=np.float64).view(np.int64).tolist()
    return seen


def _read(datatype: str, raw: bytes) -> list[Any]:
    if datatype != "BYTES":
        kind = KINDS[datatype]
        return list(struct.unpack(f"<{len(raw) // struct.calcsize('<' + kind)}{kind}", raw))
    texts, at = [], 0
    while at < len(raw):
        (length,) = struct.unpack_from("<I", raw, at)
        texts.append(raw[at + 4 : at + 4 + length].decode())
        at += 4 + length
    return texts
