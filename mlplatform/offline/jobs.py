"""Jobs that change a deployment with one click in the Dagster UI: promote, rollback, canary, shadow.

They do what the commands of the same names do, in the process of the run. They must not hold rules of their
own.
"""

from typing import Any

from dagster import Config, JobDefinition, MetadataValue, OpExecutionContext, in_process_executor, job, op
from pydantic import Field

from mlplatform.crosscutting.settings import Settings
from mlplatform.offline.declared import Declared
from mlplatform.offline.deploying import Changed, Desk, person
from mlplatform.offline.in_use import deployment_of, sentence, taken_up

WAIT_SECONDS = 3.0
"""How long a job waits for the scoring service to take a change up."""
_WHICH = "A version, a model's name, or the digest of a candidate. "


class Promote(Config):
    """What becomes the champion."""

    which: str = Field(
        "", description=_WHICH + "Empty: the canary, else the shadow, else the best challenger."
    )
    why: str = Field("promoted in the Dagster UI", description="One sentence for the history.")


class Rollback(Config):
    """Where to go back to."""

    to: int = Field(0, ge=0, description="Version of an earlier champion; 0: the one before.")
    why: str = Field("rolled back in the Dagster UI", description="One sentence for the history.")


class Canary(Config):
    """What answers a share of the entities."""

    which: str = Field("", description=_WHICH + "Empty: the shadow, else the best challenger.")
    share: float = Field(0.05, gt=0, le=1, description="Part of the entities, 0.05 is a twentieth.")
    off: bool = Field(False, description="Take the canary away.")
    why: str = Field("set in the Dagster UI", description="One sentence for the history.")


class Shadow(Config):
    """What is asked after each answer and only logged."""

    which: str = Field("", description=_WHICH + "Empty: the best challenger.")
    off: bool = Field(False, description="Take the shadow away.")
    why: str = Field("set in the Dagster UI", description="One sentence for the history.")


def jobs(declared: Declared, settings: Settings) -> list[JobDefinition]:
    """`promote_`, `rollback_`, `canary_` and `shadow_<use case>`."""
    name = declared.name

    @op(name=f"promote_to_champion_of_{name}")
    def promote(context: OpExecutionContext, config: Promote) -> None:
        with Desk(declared, settings) as desk:
            _tell(context, declared, settings, desk.promote(config.which, who=_who(context), why=config.why))

    @op(name=f"roll_back_{name}")
    def rollback(context: OpExecutionContext, config: Rollback) -> None:
        with Desk(declared, settings) as desk:
            _tell(context, declared, settings, desk.rollback(config.to, who=_who(context), why=config.why))

    @op(name=f"set_canary_of_{name}")
    def canary(context: OpExecutionContext, config: Canary) -> None:
        more = {"who": _who(context), "why": config.why}
        with Desk(declared, settings) as desk:
            changed = (
                desk.off("canary", **more)
                if config.off
                else desk.canary(config.which, share=config.share, **more)
            )
            _tell(context, declared, settings, changed)

    @op(name=f"set_shadow_of_{name}")
    def shadow(context: OpExecutionContext, config: Shadow) -> None:
        more = {"who": _who(context), "why": config.why}
        with Desk(declared, settings) as desk:
            changed = desk.off("shadow", **more) if config.off else desk.shadow(config.which, **more)
            _tell(context, declared, settings, changed)

    return [
        _job(f"promote_{name}", promote, "Makes a version, a digest or a model the champion."),
        _job(f"rollback_{name}", rollback, "Goes back to the champion before; needs no configuration."),
        _job(f"canary_{name}", canary, "Lets a version answer a share of the entities, or takes it away."),
        _job(
            f"shadow_{name}", shadow, "Asks a version after each answer and only logs it, or takes it away."
        ),
    ]


def _job(name: str, does: Any, description: str) -> JobDefinition:
    @job(name=name, executor_def=in_process_executor, description=description)
    def one() -> None:
        does()

    return one


def _who(context: OpExecutionContext) -> str:
    return f"{person()} (run {context.run_id[:8]})"


def _tell(context: OpExecutionContext, declared: Declared, settings: Settings, changed: Changed) -> None:
    """Metadata of the op: what is in use now, and whether the service has it."""
    serving = taken_up(settings, declared.name, changed.present, WAIT_SECONDS)
    said = sentence(declared.name, changed.present)
    context.log.info("%s %s", said, serving["said"])
    context.add_output_metadata(
        {
            "in use now": said,
            "changed": changed.change is not None,
            "number of the change": changed.present.number,
            "deployment": MetadataValue.json(deployment_of(changed.present)),
            "scoring service": serving["said"],
            "deployment-changed": "published" if changed.published else "follows when the broker is back",
        }
    )
