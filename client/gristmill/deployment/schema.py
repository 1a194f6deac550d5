"""Every key of a deployment file, with its kind, default and meaning: the one table that checks and page are made from.

Source: "CLI (v2) batch deployment YAML schema" of Azure Machine Learning (names, defaults); keys with `ours=True`
are Gristmill's own. The defaults themselves stand in `gristmill.spec`.
"""

from __future__ import annotations

from typing import Final

from gristmill.deployment import references, rules
from gristmill.deployment.kinds import Boolean, Choice, Ignored, Integer, Text, TextOrList, Texts, Version
from gristmill.deployment.sections import Key, Section, TextOr
from gristmill.deployment.tuning import TUNING
from gristmill.spec import ModelType, OutputAction, PredictPer, Priority, RowFormat

#: Seconds that a run() may take at most, as Azure's engine has it (3 days).
LONGEST_TIMEOUT: Final = 259_200

_ACCEPTED: Final = "Accepted, without effect."
#: Of keys that a server shows and nobody sets.
SHOWN: Final = "Shown by a server; without effect in a file."
_NAME_LIMITS: Final = "letters, digits, dashes; 3 to 32 characters; lower-cased"
_VARIABLES: Final = Texts(rule=rules.variable)

RETRY_SETTINGS: Final = Section(
    (
        Key(
            name="max_retries",
            kind=Integer(0),
            default="3",
            meaning="Attempts at a mini-batch in all, at least one, as Azure's engine counts.",
        ),
        Key(
            name="timeout",
            kind=Integer(1, LONGEST_TIMEOUT),
            default="30",
            meaning="Seconds that one `run()` of one mini-batch may take.",
        ),
    ),
    path="settings.retry_settings",
)

_AZURE_SETTINGS: Final = (
    Key(
        name="max_concurrency_per_instance",
        kind=Integer(1),
        default="1",
        meaning="Scoring processes side by side on each instance.",
    ),
    Key(name="mini_batch_size", kind=Integer(1), default="10", meaning="Files that one `run()` is given."),
    Key(name="instance_count", kind=Integer(1), default="1", meaning="Instances a job; or `resources.instance_count`."),
    Key(name="retry_settings", kind=RETRY_SETTINGS, meaning="What happens to a mini-batch that fails."),
    Key(
        name="output_action",
        kind=Choice(tuple(word.value for word in OutputAction)),
        default="`append_row`",
        meaning="One file of all rows, or only counts (the script writes files of its own).",
    ),
    Key(
        name="output_file_name",
        kind=Text(rules.output_file_name, limits="a file name; not hidden, not `summary.json`, `errors.jsonl`"),
        default="`predictions.csv`, `.jsonl` or `.parquet` after `output_format`",
        meaning="Name of the output file. Not with `summary_only`.",
    ),
    Key(
        name="error_threshold",
        kind=Integer(-1),
        default="-1",
        meaning="Files that may fail before the job is ended; -1: any number.",
    ),
    Key(
        name="logging_level",
        kind=Choice(("warning", "info", "debug")),
        default="`info`",
        meaning="What of the script's logging is kept.",
    ),
    Key(name="environment_variables", kind=_VARIABLES, meaning="As at the root; wins over it, key by key."),
)

_OWN_SETTINGS: Final = (
    Key(
        name="mini_batch_bytes",
        kind=Integer(1, 2**63 - 1),
        default="none",
        meaning="Bytes at which a mini-batch is closed before it has `mini_batch_size` files.",
        ours=True,
    ),
    Key(
        name="recursive",
        kind=Boolean(),
        default="`true`",
        meaning="Whether folders inside the input are scored too.",
        ours=True,
    ),
    Key(
        name="output_format",
        kind=Choice(("csv", "parquet", "jsonl", "text")),
        default="`text`, Azure's own form",
        meaning="How rows stand in the output file. Not with `summary_only`.",
        ours=True,
    ),
    Key(
        name="header",
        kind=Boolean(),
        default="`true` with `output_format: csv`, else `false`",
        meaning="Whether the output begins with the columns' names. Only `text` and `csv`.",
        ours=True,
    ),
    Key(
        name="delimiter",
        kind=Text(rules.delimiter, limits="one character, no quote or line end"),
        default="`,` with `output_format: csv` or without a scoring script, else a space",
        meaning="What stands between fields. Only `text` and `csv`.",
        ours=True,
    ),
    Key(
        name="rows_per_predict",
        kind=Integer(1),
        default="the whole file",
        meaning="Rows of a table that a model without a scoring script is given at once.",
        ours=True,
    ),
    Key(
        name="predict_per",
        kind=Choice(tuple(word.value for word in PredictPer)),
        default="`file`",
        meaning="How much a model without a scoring script is given at once.",
        ours=True,
    ),
    Key(
        name="split_files",
        kind=Boolean(),
        default="`false`",
        meaning="Whether large CSV and Parquet files are cut into items for a model without a scoring script.",
        ours=True,
    ),
    Key(
        name="split_bytes",
        kind=Integer(1, 2**40),
        default="16777216",
        meaning="Bytes of an item of a file that is cut.",
        ours=True,
    ),
    Key(
        name="init_timeout",
        kind=Integer(1),
        default="3 x `retry_settings.timeout` + 30",
        meaning="Seconds that `init()` may take.",
        ours=True,
    ),
    Key(
        name="isolate_failures",
        kind=Boolean(),
        default="`false`",
        meaning="Whether a mini-batch that keeps failing is halved until the bad file stands alone.",
        ours=True,
    ),
    Key(
        name="speculate",
        kind=Boolean(),
        default="`false`",
        meaning="Whether the slowest mini-batches get a second attempt side by side once nothing else is left.",
        ours=True,
    ),
    Key(
        name="keep_scorers_seconds",
        kind=Integer(0),
        default="the node's, 300",
        meaning="Seconds that a server's nodes keep scorers, with their model, for the next job, at most.",
        ours=True,
    ),
    Key(
        name="priority",
        kind=Choice(tuple(word.value for word in Priority)),
        default="`medium`",
        meaning="How much of a shared compute the job gets beside others: of its places, 1, 2 or 4 parts.",
        ours=True,
    ),
    Key(name="tuning", kind=TUNING, meaning="What each instance chooses by itself, and says in the log.", ours=True),
)

SETTINGS: Final = Section(
    _AZURE_SETTINGS + _OWN_SETTINGS,
    hints={
        "max_retries": "It belongs beneath retry_settings",
        "timeout": "It belongs beneath retry_settings",
        "resources": "It belongs at the file's root",
        "mini_batch_error_threshold": "Batch deployments have no such key; error_threshold counts files",
        "continue_on_step_failure": "Only pipeline deployments have it",
    },
    path="settings",
)

RESOURCES: Final = Section(
    (
        Key(name="instance_count", kind=Integer(1), default="1", meaning="Instances that a job asks for."),
        Key(name="instance_type", kind=Text(), meaning=_ACCEPTED),
        Key(name="max_instance_count", kind=Integer(1), meaning=_ACCEPTED),
        Key(name="shm_size", kind=Text(), meaning=_ACCEPTED),
        Key(name="docker_args", kind=Ignored(), meaning=_ACCEPTED),
        Key(name="locations", kind=Ignored(), meaning=_ACCEPTED),
        Key(name="properties", kind=Ignored(), meaning=_ACCEPTED),
    ),
    path="resources",
)

CODE_CONFIGURATION: Final = Section(
    (
        Key(
            name="code",
            kind=Text(of_2021="code: <folder>"),
            default="required",
            meaning="Folder of the script, importable as a whole; relative to the file.",
        ),
        Key(
            name="scoring_script",
            kind=Text(),
            default="required",
            meaning="The Python file with `init()` and `run(mini_batch)`; relative to `code`, and inside it.",
        ),
    ),
    hints={"local_path": "That is the 2021 form; write code: <folder>"},
    path="code_configuration",
)

MODEL: Final = Section(
    (
        Key(name="path", kind=Text(), default="required", meaning="File or folder, relative to the file, or a URL."),
        Key(
            name="type",
            kind=Choice(tuple(word.value for word in ModelType)),
            default="by the files",
            meaning="How the files are laid out.",
        ),
        Key(name="name", kind=Text(), meaning="Name of the model."),
        Key(name="version", kind=Version(), meaning="Version of the model."),
        Key(name="description", kind=Text(), meaning=_ACCEPTED),
        Key(name="tags", kind=Ignored(), meaning=_ACCEPTED),
        Key(name="properties", kind=Ignored(), meaning=_ACCEPTED),
        Key(name="flavors", kind=Ignored(), meaning=_ACCEPTED),
        Key(name="stage", kind=Ignored(), meaning=_ACCEPTED),
        Key(name="datastore", kind=Ignored(), meaning=_ACCEPTED),
        Key(name="job_name", kind=Ignored(), meaning=_ACCEPTED),
        Key(name="id", kind=Ignored(), meaning=_ACCEPTED, dropped=True),
        Key(name="$schema", kind=Ignored(), meaning=_ACCEPTED, dropped=True),
    ),
    hints={"local_path": "That is the 2021 form; write path: <file or folder>"},
    path="model",
)

#: What an environment is made of, in a deployment and on its own.
ENVIRONMENT_CONTENTS: Final = (
    Key(
        name="conda_file",
        kind=Ignored("path or mapping"),
        meaning="A conda environment, in a file or written out; a `.txt` file is a requirements file.",
    ),
    Key(
        name="requirements_file",
        kind=TextOrList(),
        meaning="A pip requirements file, or its lines, in place of `conda_file`.",
        ours=True,
    ),
    Key(name="image", kind=Text(), meaning="Container image; recorded, used by container deployments."),
)

#: What to say of keys that environments had in other forms, or that belong into their files.
ENVIRONMENT_HINTS: Final = {
    "docker": "That is the 2021 form; write image: <image>",
    "path": "That is the 2021 form; write conda_file: <file>, relative to this file",
    "local_path": "That is the 2021 form; write conda_file: <file>",
    "conda": "Did you mean conda_file?",
    "requirements": "Did you mean requirements_file?",
    "dependencies": "It belongs into the conda file: write it beneath conda_file",
    "channels": "It belongs into the conda file: write it beneath conda_file",
}

ENVIRONMENT: Final = Section(
    (
        *ENVIRONMENT_CONTENTS,
        Key(name="name", kind=Text(), meaning="Name of the environment."),
        Key(name="version", kind=Version(), meaning="Version of the environment."),
        Key(name="build", kind=Ignored("mapping"), meaning="Refused: Gristmill builds no containers."),
        Key(name="description", kind=Text(), meaning=_ACCEPTED),
        Key(name="tags", kind=Ignored(), meaning=_ACCEPTED),
        Key(name="properties", kind=Ignored(), meaning=_ACCEPTED),
        Key(name="inference_config", kind=Ignored(), meaning=_ACCEPTED),
        Key(name="os_type", kind=Ignored(), meaning=_ACCEPTED),
        Key(name="datastore", kind=Ignored(), meaning=_ACCEPTED),
        Key(name="id", kind=Ignored(), meaning=_ACCEPTED, dropped=True),
        Key(name="$schema", kind=Ignored(), meaning=_ACCEPTED, dropped=True),
    ),
    hints=ENVIRONMENT_HINTS,
    path="environment",
)

ROOT: Final = Section(
    (
        Key(name="$schema", kind=Ignored(), meaning=_ACCEPTED, dropped=True),
        Key(
            name="name",
            kind=Text(rules.resource_name("a deployment"), limits=_NAME_LIMITS),
            default="required on a cluster",
            meaning="Name of the deployment.",
        ),
        Key(
            name="endpoint_name",
            kind=Text(rules.resource_name("an endpoint"), limits=_NAME_LIMITS),
            default="required on a cluster",
            meaning="Name of the endpoint that it belongs to.",
        ),
        Key(name="description", kind=Text(), meaning="For people."),
        Key(name="tags", kind=Texts(), meaning="For people."),
        Key(name="properties", kind=Texts(), meaning="For programs; carried along."),
        Key(name="id", kind=Ignored(), meaning=_ACCEPTED, dropped=True),
        Key(name="type", kind=Choice(("model",)), default="`model`", meaning="Pipelines are refused."),
        Key(
            name="model",
            kind=TextOr(Text(references.model_rule, words="reference"), MODEL),
            default="required without a scoring script",
            meaning="The model: `azureml:<name>:<version>`, `azureml:<name>@latest`, `models:/<name>/<version>`, "
            "or a mapping.",
        ),
        Key(
            name="code_configuration",
            kind=CODE_CONFIGURATION,
            default="none: an MLflow model is scored without a script",
            meaning="The scoring script.",
        ),
        Key(
            name="environment",
            kind=TextOr(Text(references.environment_rule, words="reference"), ENVIRONMENT),
            default="the worker's own Python",
            meaning="The Python environment: a reference (recorded; cannot be built from), or a mapping.",
        ),
        Key(name="environment_variables", kind=_VARIABLES, meaning="Variables of the scoring processes."),
        Key(
            name="compute",
            kind=Text(
                references.compute_rule,
                limits="`azureml:<name>`, `<name>` or `local`",
                of_2021="compute: azureml:<name>, and instance_count beneath resources",
            ),
            default="`local`",
            meaning="Which nodes score.",
        ),
        Key(name="resources", kind=RESOURCES, meaning="What a job asks for."),
        Key(name="error_threshold", kind=Integer(-1), meaning="As `settings.error_threshold`; give it in one place."),
        Key(name="settings", kind=SETTINGS, meaning="How the input is scored and written."),
        *(
            Key(name=name, kind=Ignored(), meaning=SHOWN, dropped=True)
            for name in ("provisioning_state", "creation_context")
        ),
    ),
    hints={
        **{key.name: f"It belongs beneath settings: settings.{key.name}" for key in SETTINGS.keys},
        "max_retries": "It belongs beneath settings: settings.retry_settings.max_retries",
        "timeout": "It belongs beneath settings: settings.retry_settings.timeout",
        "auth_mode": "It is an endpoint's key; give the deployment's file",
        "defaults": "It is an endpoint's key; give the deployment's file",
        "component": "Only pipeline deployments have it; Gristmill scores models",
        "job_definition": "Only pipeline deployments have it; Gristmill scores models",
        "scoring_script": "It belongs beneath code_configuration",
        "code": "It belongs beneath code_configuration",
        "conda_file": "It belongs beneath environment",
    },
)

#: The words that `output_format` takes, as the spec has them.
FORMATS: Final = {word: RowFormat(word) for word in ("csv", "parquet", "jsonl", "text")}
