"""A process that scores rows with one candidate's model: `python -m mlplatform.online.model_process …`.

It reads requests from standard input and writes replies to standard output, laid out as in `isolated.py`,
and ends when its input does. It must not compute features, nor know what the rows are.
"""

import os
import sys
from pathlib import Path
from typing import BinaryIO

import numpy as np

from mlplatform.errors import MlplatformError
from mlplatform.online.isolated import HEADER, NOT_SCORED, SCORED
from mlplatform.stages.training.candidate import open_model
from mlplatform.stores.candidates import CandidateStore


def main(root: str, use_case: str, digest: str) -> int:
    """Score until the input ends; the exit code."""
    # What a model prints must not be taken for a reply.
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        model = open_model(CandidateStore(Path(root)).get(use_case, digest))
    except MlplatformError as error:
        print(f"{error} {error.hint}", file=sys.stderr)
        return 1
    score = model.row_scorer()
    while header := _exactly(sys.stdin.buffer, HEADER.size):
        number, rows, width = HEADER.unpack(header)
        matrix = np.frombuffer(_exactly(sys.stdin.buffer, 8 * rows * width)).reshape(rows, width)
        try:
            scores = np.array([score(row) for row in matrix.tolist()], dtype=np.float64).tobytes()
        except Exception as error:  # noqa: BLE001  (the parent is told, and counts it as the model's)
            _reply(replies, number, NOT_SCORED, f"{type(error).__name__}: {error}"[:500].encode())
        else:
            _reply(replies, number, SCORED, scores)
    return 0


def _exactly(stream: BinaryIO, size: int) -> bytes:
    """So many bytes, or none at the end of the input."""
    read = stream.read(size)
    return read if len(read) == size else b""


def _reply(stream: BinaryIO, number: int, kind: int, body: bytes) -> None:
    stream.write(HEADER.pack(number, kind, len(body)) + body)
    stream.flush()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
