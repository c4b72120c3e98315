"""Reads an infer request: its JSON, and the binary tensors behind it into their places.

It must not know a use case: whether the tensors fit one is for `rows`.
"""

import msgspec

from mlplatform.errors import RequestError
from mlplatform.online import strict
from mlplatform.online.facts import not_json
from mlplatform.online.inference import binary
from mlplatform.online.inference.request import (
    FEATURES,
    FlatRequest,
    InferRequest,
    NestedRequest,
    Tensor,
    quotes,
)
from mlplatform.online.replies import shown

LONGEST_ID = 1000

_decode = msgspec.json.Decoder(InferRequest).decode
_decode_flat = msgspec.json.Decoder(FlatRequest).decode
_decode_nested = msgspec.json.Decoder(NestedRequest).decode
_DATA = b'"data"'
_FEATURES = b'"%s"' % FEATURES.encode()


def read_request(body: bytes, header_length: int | None = None) -> InferRequest:
    """The request in a body: all JSON, or `header_length` bytes of JSON and then the binary tensors.

    Raises
    ------
    RequestError
        400 for what is none: no JSON, a key twice, a wrong length of the JSON, or bytes that are not those
        announced.
    """
    text = body if header_length is None else _header(body, header_length)
    request = _read_json(text, guess=header_length is None and _FEATURES in body)
    if text.count(b'"') != quotes(request):
        strict.check_infer(text, request)
    if request.id is not None and len(request.id) > LONGEST_ID:
        raise RequestError(f"got an id of {len(request.id)} characters; allowed: {LONGEST_ID}.")
    at = len(text)
    for tensor in request.inputs:
        if tensor.parameters is not None or tensor.data is msgspec.UNSET:
            at = _fill(tensor, body, at)
    if at < len(body):
        raise RequestError(
            f"got {len(body) - at} bytes behind the last binary tensor.",
            hint="Say the size of each one in its parameter binary_data_size.",
        )
    return request


def _read_json(body: bytes, *, guess: bool) -> InferRequest:
    try:
        # Reading features as the numbers they are takes a third of the time of looking at each one later.
        return _guessed(body) if guess else _decode(body)
    except msgspec.ValidationError as error:
        raise RequestError(f"not an infer request: {str(error)[:300]}.") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise not_json(error) from error


def _guessed(body: bytes) -> InferRequest:
    """Read by the decoder that is likely to fit, or by one that does; which one makes no difference."""
    at = body.find(_DATA) + len(_DATA)
    nested = body.count(b"[", at, at + 4) > 1
    for decode in (_decode_nested, _decode_flat) if nested else (_decode_flat, _decode_nested):
        try:
            return decode(body)
        except msgspec.ValidationError:
            continue
    return _decode(body)


def _header(body: bytes, length: int) -> bytes:
    if not 0 < length <= len(body):
        raise RequestError(
            f"got a JSON part of {length} bytes in a body of {len(body)}.",
            hint="Inference-Header-Content-Length says how many bytes of the body are JSON.",
        )
    return body[:length]


def _fill(tensor: Tensor, body: bytes, at: int) -> int:
    """Read the values of a tensor that has none in JSON; where the bytes of the next one begin."""
    told = tensor.parameters
    if told is not None and told.shared_memory_region is not None:
        raise RequestError(f"input {shown(tensor.name)}: shared memory is not supported.")
    size = told.binary_data_size if told is not None else None
    if size is None and tensor.data is msgspec.UNSET:
        raise RequestError(
            f"input {shown(tensor.name)} has no data.",
            hint="Send data in the JSON, or bytes behind it and their number in binary_data_size.",
        )
    if size is None:
        return at
    if tensor.data is not msgspec.UNSET:
        raise RequestError(f"input {shown(tensor.name)} has both data and binary_data_size.")
    if size > len(body) - at:
        raise RequestError(
            f"input {shown(tensor.name)}: got binary_data_size {size}; bytes left behind the JSON: "
            f"{len(body) - at}.",
            hint="Inference-Header-Content-Length says where they begin.",
        )
    tensor.data = binary.values(tensor.name, tensor.datatype, tensor.shape, body[at : at + size])
    return at + size
