"""What the protocol tells of a model: its inputs and outputs, from the release's own schema.

It must not know HTTP.
"""

from collections.abc import Sequence
from typing import Any

from mlplatform.online.bundle import Bundle
from mlplatform.online.inference.datatypes import DATATYPES, OUTPUTS

_MISSING = {"json": "null", "binary": "NaN in FP64, FP32, FP16; as JSON in other datatypes"}


def metadata(bundle: Bundle, versions: Sequence[int]) -> dict[str, Any]:
    """The model metadata object of the protocol; `versions` are those that are loaded."""
    facts, release = bundle.facts, bundle.release
    return {
        "name": release.use_case,
        "versions": list(map(str, versions)),
        "platform": f"mlplatform_{release.model.rpartition('.')[2]}",
        "inputs": [_tensor(name, DATATYPES[kind][0]) for name, kind in facts.types.items()],
        "outputs": [_tensor(name, datatype) for name, datatype in OUTPUTS[bundle.output.kind].items()],
        "parameters": {
            "feature_set": bundle.feature_set_id,
            "digest": release.digest,
            "required": list(facts.required),
            "features": list(bundle.names),
            "categories": {name: list(levels) for name, levels in bundle.fitted.levels.items()},
            "missing": _MISSING,
        },
    }


def _tensor(name: str, datatype: str) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": [-1]}
