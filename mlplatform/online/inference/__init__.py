"""The Open Inference Protocol V2 (REST) without a transport: its requests, its answers, what it tells.

Inputs are either one tensor per fact, or one tensor `features` of ready-made features; each as JSON or as
bytes behind it (Triton's extension `binary_tensor_data`), and so are the outputs. The protocol's JSON has no
null; here null is a missing value, as NaN is in bytes. It must not know HTTP, nor which release answers.

Protocol: https://github.com/kserve/open-inference-protocol (inference_rest.md).
"""

from mlplatform.online.inference.datatypes import DATATYPES as DATATYPES
from mlplatform.online.inference.datatypes import OUTPUTS as OUTPUTS
from mlplatform.online.inference.metadata import metadata as metadata
from mlplatform.online.inference.reading import read_request as read_request
from mlplatform.online.inference.request import InferRequest as InferRequest
from mlplatform.online.inference.response import InferResponse as InferResponse
from mlplatform.online.inference.response import response as response
from mlplatform.online.inference.response import wanted_outputs as wanted_outputs
from mlplatform.online.inference.response import written as written
from mlplatform.online.inference.rows import Tensors as Tensors
from mlplatform.online.inference.tensors import MOST_ROWS as MOST_ROWS
