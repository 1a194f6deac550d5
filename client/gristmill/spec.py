"""What a job is, as plain frozen data: the one internal form that every YAML generation and every front door maps to.

Nothing here validates: `gristmill.deployment` does, and whatever carries one of these classes may trust it.
`to_json` and `from_json` carry them between processes and into `job.json`.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from functools import cache
from typing import Any, TypeVar

T = TypeVar("T")

#: Newest form of a job's document that is read; a greater one is refused. 2: an item may be a slice of a table.
SPEC_VERSION = 2


class ModelType(StrEnum):
    """How a model's files are laid out."""

    CUSTOM = "custom_model"
    MLFLOW = "mlflow_model"
    TRITON = "triton_model"


class OutputAction(StrEnum):
    """What becomes of the results."""

    #: One file of all rows.
    APPEND_ROW = "append_row"
    #: Rows are counted; the script writes files of its own.
    SUMMARY_ONLY = "summary_only"


class RowFormat(StrEnum):
    """How a row stands in the output file."""

    #: Azure's own: a DataFrame as pandas' to_csv with the delimiter, anything else as `str(element)`, one a line.
    TEXT = "text"
    #: Strict CSV: every result becomes fields, also list elements.
    CSV = "csv"
    #: One JSON object a line.
    JSONL = "jsonl"
    #: One Parquet file.
    PARQUET = "parquet"


class InputType(StrEnum):
    """What an input's address names."""

    URI_FOLDER = "uri_folder"
    URI_FILE = "uri_file"


class Priority(StrEnum):
    """How much of a compute a job gets beside others: of what is shared, 1, 2 or 4 parts."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class PredictPer(StrEnum):
    """How much a no-code model is given at once."""

    FILE = "file"
    MINI_BATCH = "mini_batch"


class EnvironmentMode(StrEnum):
    """Which Python runs the scorers."""

    #: The worker's own where that satisfies the deployment, else one built for it.
    AUTO = "auto"
    #: The worker's own, whatever the deployment asks for.
    INHERIT = "inherit"
    #: The one that the deployment or its model asks for, built if need be.
    MODEL = "model"


@dataclass(frozen=True, kw_only=True)
class Model:
    """A model: a path or an address, or a reference that a registry resolves."""

    #: Absolute local path or URL of a file or folder; "" when only `reference` is known.
    path: str = ""
    #: `azureml:name:1`, `azureml:name@latest`, `models:/name/1`, `runs:/...`; "" when `path` is given.
    reference: str = ""
    name: str = ""
    version: str = ""
    #: None: not stated; an `MLmodel` file in the folder then makes it an MLflow model.
    type: ModelType | None = None


@dataclass(frozen=True, kw_only=True)
class CodeConfiguration:
    """The user's scoring script and the folder that is importable with it."""

    #: Absolute path of the folder; "" with no code (a no-code deployment).
    code: str
    #: The script's path relative to `code`.
    scoring_script: str


@dataclass(frozen=True, kw_only=True)
class Environment:
    """The Python environment that a deployment asks for."""

    name: str = ""
    version: str = ""
    #: `azureml:name:1` and the like; recorded, cannot be built from.
    reference: str = ""
    #: Container image; recorded and used by container deployments.
    image: str = ""
    #: A conda environment's document (channels, dependencies, ...), already parsed.
    conda: dict[str, Any] | None = None
    #: Lines of a requirements.txt.
    requirements: tuple[str, ...] | None = None
    #: Folder against which relative paths in the two above are resolved.
    folder: str = ""


@dataclass(frozen=True, kw_only=True)
class RetrySettings:
    """What happens to a mini-batch that fails."""

    #: Attempts in all are max(1, max_retries), as Azure's engine counts.
    max_retries: int = 3
    #: Seconds that one run() of one mini-batch may take.
    timeout: int = 30

    @property
    def attempts(self) -> int:
        """How often a mini-batch is tried in all."""
        return max(1, self.max_retries)


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """`settings.tuning`: what an instance chooses by itself where it is None."""

    #: Mini-batches that an instance holds leased, at least one a scorer.
    lease_mini_batches: int | None = None
    #: Frames of mini-batches that a scorer has been given and not answered.
    frames_in_flight: int | None = None
    #: Items that are fetched ahead of the scorers, where inputs are fetched.
    prefetch_items: int | None = None
    #: Threads of a scorer's numerical libraries.
    threads_per_scorer: int | None = None
    #: Bytes of rows at which a part is made durable and told to the ledger.
    flush_bytes: int | None = None


@dataclass(frozen=True, kw_only=True)
class Settings:
    """`settings:` of a deployment; the second group is Gristmill's own."""

    max_concurrency_per_instance: int = 1
    #: Files a run() call.
    mini_batch_size: int = 10
    retry_settings: RetrySettings = field(default_factory=RetrySettings)
    output_action: OutputAction = OutputAction.APPEND_ROW
    output_file_name: str = "predictions.csv"
    #: Items that may fail before the job is ended; -1: any number.
    error_threshold: int = -1
    #: warning | info | debug
    logging_level: str = "info"

    #: Bytes at which a mini-batch is closed before it has `mini_batch_size` items; None: by count alone.
    mini_batch_bytes: int | None = None
    #: Whether folders inside the input are scored too.
    recursive: bool = True
    output_format: RowFormat = RowFormat.TEXT
    #: Whether text and CSV output begins with the columns' names.
    header: bool = False
    #: One character between fields of text and CSV output.
    delimiter: str = " "
    #: Rows of a table that a no-code model is given at once; None: the whole file.
    rows_per_predict: int | None = None
    predict_per: PredictPer = PredictPer.FILE
    #: Whether large tables are cut into items for a no-code model.
    split_files: bool = False
    #: Bytes of such an item, which the last of its rows makes full.
    split_bytes: int = 16 << 20
    #: Seconds that init() may take; None: 3 x retry_settings.timeout + 30, as Azure's engine.
    init_timeout: int | None = None
    #: Whether a mini-batch that keeps failing is halved until the bad item stands alone.
    isolate_failures: bool = False
    #: Whether the slowest mini-batches get a second attempt side by side once nothing else is left to score.
    speculate: bool = False
    #: Seconds that scorers are kept for the deployment's next job, where the node keeps them so long; None: as long as
    #: the node does.
    keep_scorers_seconds: int | None = None
    #: How much of a shared compute the job gets beside others.
    priority: Priority = Priority.MEDIUM
    tuning: Tuning = field(default_factory=Tuning)

    @property
    def init_seconds(self) -> int:
        """Seconds that init() may take."""
        return self.init_timeout if self.init_timeout is not None else 3 * self.retry_settings.timeout + 30


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """A deployment, whole, every default filled in."""

    name: str = ""
    endpoint_name: str = ""
    description: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    properties: dict[str, str] = field(default_factory=dict)
    model: Model | None = None
    #: None: a no-code deployment of an MLflow model.
    code_configuration: CodeConfiguration | None = None
    environment: Environment | None = None
    environment_variables: dict[str, str] = field(default_factory=dict)
    #: Name of the compute, without `azureml:`.
    compute: str = "local"
    instance_count: int = 1
    settings: Settings = field(default_factory=Settings)


@dataclass(frozen=True, kw_only=True)
class Input:
    """What a job scores."""

    #: Absolute local path or URL.
    uri: str
    type: InputType = InputType.URI_FOLDER


@dataclass(frozen=True, kw_only=True)
class Output:
    """Where a job's results go."""

    #: Absolute local path or URL of the folder; its `.gristmill/<job>/` is the job's folder.
    folder: str
    overwrite: bool = False


@dataclass(frozen=True, kw_only=True)
class Job:
    """One invocation of a deployment on one input."""

    #: The job's name, unique, safe in a path and in a key.
    name: str
    deployment: Deployment
    input: Input
    output: Output
    environment_mode: EnvironmentMode = EnvironmentMode.AUTO
    #: Seconds since the epoch, by the clock of whoever submitted.
    submitted: float = 0.0
    #: Name of the completed job beside it whose failed items this one scores again, for the same output; "": none.
    retry_of: str = ""
    #: Of a job that a server was asked for: hosts of its network that web addresses may lead to beside public ones
    #: (names, addresses, networks). None: any, as for a job of one's own machine.
    allow_hosts: tuple[str, ...] | None = None
    #: Of a job that a server was asked for: whose jobs may share scorers with it, a hash of endpoint, deployment, the
    #: deployment's version and who asked; "": none.
    kept_for: str = ""
    #: The span that asked for it (W3C Trace Context), whose children are those of its work; "": none.
    traceparent: str = ""


def own_compute(job: str) -> str:
    """Return the name of the compute that a job has for itself alone, where one machine runs it."""
    return f"local-{job}"


def oldest_form(job: Job) -> int:
    """Return the form of a job's document: that of the oldest reader that does the job justice."""
    return 2 if job.deployment.settings.split_files else 1


def to_json(value: object) -> Any:
    """Return a spec as what `json.dumps` takes, with `spec_version` in a `Job`."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        document = {f.name: to_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {"spec_version": oldest_form(value), **document} if isinstance(value, Job) else document
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, dict):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json(item) for item in value]
    return value


def from_json(kind: type[T], document: Any) -> T:
    """Return the spec of `to_json`'s document; keys that a newer version added are passed over.

    Raises:
        ValueError: the document is of a greater version, or lacks what the class needs.

    """
    version = document.get("spec_version", SPEC_VERSION) if isinstance(document, dict) else SPEC_VERSION
    if kind is Job and not (isinstance(version, int) and version <= SPEC_VERSION):
        message = f"job document of version {version!r}: this Gristmill reads up to {SPEC_VERSION}"
        raise ValueError(message)
    try:
        return typing.cast("T", _decode(kind, document))
    except (TypeError, AttributeError, KeyError) as error:
        message = f"not a {kind.__name__} document: {error}"
        raise ValueError(message) from error


@cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _decode(kind: Any, value: Any) -> Any:
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        hints = _hints(kind)
        given = {f.name: _decode(hints[f.name], value[f.name]) for f in dataclasses.fields(kind) if f.name in value}
        return kind(**given)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(value)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is types.UnionType:
        return None if value is None else _decode(next(a for a in arguments if a is not types.NoneType), value)
    if origin is tuple:
        return tuple(_decode(arguments[0], item) for item in value)
    if origin is dict:
        return {key: _decode(arguments[1], item) for key, item in value.items()}
    return value
