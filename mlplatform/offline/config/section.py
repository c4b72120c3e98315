"""What sections of `defs.yaml` have in common: unknown keys are refused, plug-ins are checked by name."""

from types import ModuleType
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from mlplatform import plugins
from mlplatform.errors import ConfigurationError


class Section(BaseModel):
    """A section: frozen, and with no key but its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)


SafeName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Cron = Annotated[str, Field(pattern=r"^(\S+\s+){4}\S+$|^$")]
"""Five fields, UTC; empty: never."""


def plugin(package: ModuleType) -> Any:
    """Annotates the name of a plug-in of `package`, or the dotted path of an outside one."""

    def check(name: str) -> str:
        if "." not in name and name not in plugins.names(package):
            try:
                plugins.find(package, name)
            except ConfigurationError as error:
                raise ValueError(f"{error} {error.hint}".strip()) from error
        return name

    return AfterValidator(check)


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


OneOrMore = BeforeValidator(_listed)
"""Annotates a list: one name is a list of one."""
