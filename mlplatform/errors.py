"""Every error this package raises on purpose, as one tree.

MlplatformError
├── ConfigurationError      a declaration (defs.yaml, features.py, settings) is wrong
├── SourceError             a source cannot deliver
│   ├── SourceAway          it does not answer now; the same request may work later
│   └── ContractError       what it delivered breaks the data contract
│       └── DeliveryRefused a whole delivery is refused, for a named reason
├── StoreError              a store cannot be read or written
│   ├── SchemaMismatch      columns or types differ from the stored table
│   ├── RowsRefused         rows that are none, or not of the partitions they are written to
│   └── NotFound            what was asked for is not in the store
├── FeatureError            features cannot be computed as declared
│   └── FeatureSetMismatch  a model and a row belong to different feature sets
├── ModelError              training, loading or calling a model failed
├── BusError                the broker refuses or cannot be reached
├── ServiceError            a process of ours cannot start or answer (port taken, not ready)
└── RequestError            a caller's request is wrong; carries an HTTP status

Each error says in its message what was got and what is allowed, and in `hint` what to do.
"""


class MlplatformError(Exception):
    """Base of all; `str(error)` is the message, `error.hint` the remedy (may be empty)."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class ConfigurationError(MlplatformError):
    """A declaration (defs.yaml, features.py, settings) is wrong."""


class SourceError(MlplatformError):
    """A source cannot deliver."""


class SourceAway(SourceError):
    """A source does not answer now; the same request may work later."""


class ContractError(SourceError):
    """What a source delivered breaks the data contract."""


class DeliveryRefused(ContractError):
    """A whole delivery is refused; `reason` is its short name, such as `gzip-truncated`."""

    def __init__(self, reason: str, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.reason = reason


class StoreError(MlplatformError):
    """A store cannot be read or written."""


class SchemaMismatch(StoreError):
    """Columns or types differ from those of the stored table."""


class RowsRefused(StoreError):
    """Rows that a store does not take: none, or those of other partitions; the same will be refused again."""


class NotFound(StoreError):
    """What was asked for is not in the store."""


class FeatureError(MlplatformError):
    """Features cannot be computed as declared."""


class FeatureSetMismatch(FeatureError):
    """A model and a row belong to different feature sets."""


class ModelError(MlplatformError):
    """Training, loading or calling a model failed."""


class BusError(MlplatformError):
    """The broker refuses or cannot be reached."""


class ServiceError(MlplatformError):
    """A process of ours cannot start or answer."""


class RequestError(MlplatformError):
    """A caller's request is wrong; `status` is the HTTP status of the answer."""

    def __init__(self, message: str, *, status: int = 400, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status = status
