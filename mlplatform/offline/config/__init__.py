"""The schema of a use case's `defs.yaml`: what may be written there, and what each key means.

It must not import Dagster, so that a declaration can be checked without loading it. Every section refuses
unknown keys; names of plug-ins are checked against what there is.
"""

from mlplatform.offline.config.data import DataSet as DataSet
from mlplatform.offline.config.judging import Champion as Champion
from mlplatform.offline.config.models import Model as Model
from mlplatform.offline.config.models import Selection as Selection
from mlplatform.offline.config.search import Search as Search
from mlplatform.offline.config.task import Series as Series
from mlplatform.offline.config.training import Drifted as Drifted
from mlplatform.offline.config.training import Retries as Retries
from mlplatform.offline.config.use_case import Facts as Facts
from mlplatform.offline.config.use_case import UseCaseConfig as UseCaseConfig
