"""A package: a candidate with everything to deploy it, trust it and go back from it, as files.

The candidate's own files (model, fitted features, golden rows, metadata) and three more: `MLmodel` for
MLflow's tools, `card.md` for people, `release.json` for the platform. It must not hold code, read a clock, or
know where packages are kept (stores/packages.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

import msgspec

from mlplatform.errors import ModelError
from mlplatform.stages.deployment.card import Facts, card
from mlplatform.stages.deployment.mlmodel import NAME as MLMODEL
from mlplatform.stages.deployment.mlmodel import mlmodel
from mlplatform.stages.deployment.policy import Policy
from mlplatform.stages.preparation.fitted import FittedFeatureSet
from mlplatform.stages.training.candidate import Candidate, of_files

CARD, RELEASE = "card.md", "release.json"
ADDED = (MLMODEL, CARD, RELEASE)
"""Files of a package that are not the candidate's."""


class Link(msgspec.Struct, frozen=True):
    """A version of the chain that answers for the model when it is late or fails."""

    version: int
    model: str
    digest: str


class About(msgspec.Struct, frozen=True, kw_only=True):
    """The content of release.json: what is deployed and how it is served."""

    format: int = 1
    use_case: str
    model: str
    """Name under `models:` of defs.yaml."""
    kind: str
    digest: str
    """Of the candidate."""
    feature_set_id: str
    as_of: str
    """Partition key (YYYY-MM-DD) up to which it was trained."""
    threshold: float
    policy: Policy
    chain: tuple[Link, ...] = ()
    files: dict[str, str]
    """SHA-256 of each of the candidate's files."""


@dataclass(frozen=True)
class Package:
    """A package as read back."""

    about: About
    candidate: Candidate
    files: Mapping[str, bytes]


def build(
    files: Mapping[str, bytes],
    facts: Facts,
    *,
    model: str,
    as_of: str,
    threshold: float,
    policy: Policy,
    chain: tuple[Link, ...] = (),
) -> dict[str, bytes]:
    """Every file of the package of a candidate, whose own are `files`; equal values give equal bytes."""
    candidate = of_files(files)
    fitted = FittedFeatureSet.from_json(candidate.feature_set)
    about = About(
        use_case=candidate.use_case,
        model=model,
        kind=candidate.kind,
        digest=candidate.digest,
        feature_set_id=fitted.id,
        as_of=as_of,
        threshold=threshold,
        policy=policy,
        chain=chain,
        files={name: sha256(content).hexdigest() for name, content in sorted(files.items())},
    )
    links = [f"version {link.version}: {link.model} ({link.digest[:12]})" for link in chain]
    said = card(facts, candidate, fitted, model, as_of, threshold, policy, links)
    return {
        **files,
        MLMODEL: mlmodel(candidate, fitted),
        CARD: said.encode(),
        RELEASE: msgspec.json.format(msgspec.json.encode(about), indent=2),
    }


def read(files: Mapping[str, bytes]) -> Package:
    """The package in these files.

    Raises
    ------
    ModelError
        if a file is absent or is none of a package.
    """
    try:
        about = msgspec.json.decode(files[RELEASE], type=About)
        candidate = of_files({name: files[name] for name in about.files})
    except (KeyError, msgspec.DecodeError) as error:
        raise ModelError(
            f"the files {', '.join(sorted(files))} are no package: {error}.",
            hint="Materialise `package` again.",
        ) from error
    return Package(about, candidate, files)
