"""`gristmill batch-endpoint invoke`: one job, with the inputs, outputs and changes that the flags and the file give."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from gristmill.cli import reading, server
from gristmill.cli.service_options import add_file, add_name, add_no_wait, add_set, service_command
from gristmill.cli.views import JOB, note, show
from gristmill.errors import Mistake, ResourceNotFound

if TYPE_CHECKING:
    from gristmill.service.jobs import ServiceJob

_INVOKE: Final = """\
  gristmill batch-endpoint invoke -n mnist --input images/ --query name -o tsv
  gristmill batch-endpoint invoke -n mnist --input azureml:digits@latest --set output_file_name=scores.csv
  gristmill batch-endpoint invoke -n mnist -d blue --file inputs.yml --instance-count 5
"""

#: What Azure's command line answers, word for word but for its own name.
_OUTPUT_PATH: Final = "Not a valid output_path, it should start with 'azureml:'"

_EMPTY: Final = "Input path can't be empty for batch endpoint invoke"

_NO_DATA: Final = (
    "Value passed to --input is not a supported data. Please use a registered data asset of type uri_folder or uri_file"
)

#: What Azure's service answers, word for word.
_LITERAL: Final = (
    "The specified job input type 'LiteralJobInput' is not supported. "
    "The supported types are: UriFileJobInput, UriFolderJobInput."
)

#: The name that an input or an output gets where none is given; a model deployment has one of each, by any name.
_INPUT, _OUTPUT = "input", "output_name"

_TYPES: Final = ("uri_folder", "uri_file")

#: Before a path of 2022, its type.
_PREFIXES: Final = {"folder": "uri_folder", "file": "uri_file"}

#: Keys of a job that are no overrides of its deployment.
_OWN: Final = ("inputs", "outputs", "deployment", "endpoint", "job_name", "experiment_name", "tags")


def add(below: Any) -> None:
    """Add the command."""
    parser = service_command(below, "invoke", _invoke, summary="begin a job, and print it", example=_INVOKE)
    add_name(parser, "endpoint; the file may name it", required=False)
    add_file(parser, "job: inputs, outputs, endpoint, deployment")
    add_what(parser)


def add_what(parser: argparse.ArgumentParser) -> None:
    """Add what a job is begun with, in today's words and in those of before."""
    parser.add_argument("-d", "--deployment-name", metavar="NAME", help="deployment (default: the endpoint's default)")
    parser.add_argument("--input", metavar="PATH", help="what is scored: path, https://, azureml: reference")
    parser.add_argument("--input-type", type=str.lower, choices=_TYPES, metavar="TYPE", help=" or ".join(_TYPES))
    text = "by name: a JSON mapping, @FILE with one, or NAME=PATH"
    parser.add_argument("--inputs", nargs="+", metavar="INPUTS", help=f"all inputs {text}")
    parser.add_argument("--outputs", nargs="+", metavar="OUTPUTS", help=f"all outputs {text}")
    parser.add_argument(
        "--output-path", metavar="PATH", help="folder for the output, as azureml://datastores/D/paths/P"
    )
    parser.add_argument("-m", "--mini-batch-size", type=int, metavar="N", help="files that run() is given at a time")
    parser.add_argument("-c", "--instance-count", type=int, metavar="N", help="instances that score")
    parser.add_argument("--job-name", metavar="NAME", help="name of the job (default: a new one)")
    parser.add_argument("--experiment-name", metavar="NAME", help="its experiment (default: the endpoint)")
    add_set(parser)
    add_no_wait(parser)
    older = parser.add_argument_group("words of before")
    older.add_argument("--input-data", metavar="REFERENCE", help="a data asset, as azureml:NAME:VERSION")
    older.add_argument("--input-dataset", metavar="REFERENCE", help="the same")
    older.add_argument("--input-datastore", metavar="NAME", help="a datastore; --input-path is a path in it")
    older.add_argument("--input-path", metavar="PATH", help="a public address, or a path in --input-datastore")
    older.add_argument("--input-local-path", metavar="PATH", help="a path on this machine")
    older.add_argument("--output-datastore", metavar="NAME", help="a datastore; --output-path is a path in it")


def _invoke(options: argparse.Namespace) -> int:
    return invoke(options, options.file)


def invoke(options: argparse.Namespace, file: str | None = None) -> int:
    """Begin the job that a file and the flags describe, and print it.

    Raises:
        Mistake: something given cannot be used; no job was begun.

    """
    job = _described(options, file)
    endpoint = options.name or job.get("endpoint")
    if not endpoint:
        raise Mistake("invoke: say which endpoint: --name")
    if not job.get("inputs"):
        raise Mistake(f"{_EMPTY}: say what is scored: --input")
    begun = _begun(endpoint, job)
    note(f"job {begun['name']} is begun; follow it with: gristmill job stream -n {begun['name']}", options)
    return show(begun, options, JOB)


def _begun(endpoint: str, job: Mapping[str, Any]) -> ServiceJob:
    try:
        return server.connect().batch_endpoints.invoke(
            endpoint.removeprefix("azureml:"),
            deployment_name=job.get("deployment"),
            inputs=_paths(job, "inputs"),
            outputs=_paths(job, "outputs"),
            params_override=[{key: value} for key, value in job.items() if key not in _OWN] or None,
            job_name=job.get("job_name"),
            experiment_name=job.get("experiment_name"),
            tags=job.get("tags"),
        )
    except ResourceNotFound as error:
        if error.message.startswith("data asset"):
            raise ResourceNotFound(f"{_NO_DATA}: {error.message}") from error
        raise


def _described(options: argparse.Namespace, file: str | None) -> dict[str, Any]:
    """Return the job as one document, of the file with `--set` on it, and the flags, which win.

    Raises:
        InvalidDocument: something of it cannot be used.

    """
    # Reading YAML needs its parser, which most commands do not.
    from gristmill.documents.job_inputs import load_job_inputs  # noqa: PLC0415

    flags = _flags(options)
    if file is None:
        return load_job_inputs(flags, overrides=options.set)
    job, given = load_job_inputs(file, overrides=options.set), load_job_inputs(flags)
    for key in ("outputs", "compute") if options.input else ("inputs", "outputs", "compute"):
        if key in job and key in given:
            given[key] = {**job[key], **given[key]}
    return {**job, **given}


def _flags(options: argparse.Namespace) -> dict[str, Any]:
    flags: dict[str, Any] = {
        "deployment": options.deployment_name,
        "job_name": options.job_name,
        "experiment_name": options.experiment_name,
        "mini_batch_size": options.mini_batch_size,
        "compute": None if options.instance_count is None else {"instance_count": options.instance_count},
        "inputs": reading.named(options.inputs, "--inputs") if options.inputs else None,
        "outputs": reading.named(options.outputs, "--outputs") if options.outputs else None,
    }
    given, path = _input(options), _output(options)
    if given is not None:
        if options.inputs:
            raise Mistake("--inputs: cannot be given with --input; put all of them into --inputs")
        flags["inputs"] = {_INPUT: given}
    if path is not None:
        # The type is the file's that will be in it; the slash says that the path is the folder.
        flags["outputs"] = {_OUTPUT: {"type": "uri_file", "path": f"{path.rstrip('/')}/"}}
    return {key: value for key, value in flags.items() if value is not None}


def _paths(job: Mapping[str, Any], key: str) -> dict[str, dict[str, Any]] | None:
    """Return a job's inputs or outputs, which must be paths."""
    named = job.get(key) or {}
    for name, given in named.items():
        if "default" in given:
            raise Mistake(f"{key}.{name}: {_LITERAL}")
    return named or None


def _input(options: argparse.Namespace) -> dict[str, Any] | None:
    """Return the one input that the flags name, in whatever generation's words."""
    named = {
        "--input": options.input,
        "--input-data": options.input_data,
        "--input-dataset": options.input_dataset,
        "--input-path": options.input_path,
        "--input-local-path": options.input_local_path,
    }
    given = {flag: value for flag, value in named.items() if value is not None}
    if len(given) > 1:
        raise Mistake(f"{' and '.join(given)}: give one of them")
    if options.input_datastore is not None and options.input_path is None:
        raise Mistake("--input-datastore: give the path in it with --input-path")
    if not given:
        if options.input_type is not None:
            raise Mistake("--input-type: give what it is the type of with --input")
        return None
    ((flag, path),) = given.items()
    return _typed(flag, path, options)


def _typed(flag: str, path: str, options: argparse.Namespace) -> dict[str, Any]:
    prefix = path.partition(":")[0] if flag == "--input-path" and not path.startswith("file://") else ""
    path = path.removeprefix(f"{prefix}:") if prefix in _PREFIXES else path
    if not path:
        raise Mistake(
            f"{_EMPTY}: give a path after {flag} {prefix}:" if prefix else f"{_EMPTY}: give a path with {flag}"
        )
    if options.input_datastore is not None:
        path = _in_datastore(options.input_datastore, path)
    given = options.input_type or _PREFIXES.get(prefix)
    # Azure takes a folder where nobody says otherwise; a path here is what it is, and a data asset has its own type.
    return {"type": given, "path": path} if given else {"path": path}


def _output(options: argparse.Namespace) -> str | None:
    if options.output_datastore is not None:
        return _in_datastore(options.output_datastore, options.output_path or "")
    if options.output_path is None:
        return None
    path: str = options.output_path.removeprefix("folder:")
    if not path.startswith("azureml:"):
        raise Mistake(f"{_OUTPUT_PATH}: --output-path {path}; as azureml://datastores/workspaceblobstore/paths/scores")
    return path


def _in_datastore(datastore: str, path: str) -> str:
    name = datastore.removeprefix("azureml:").removeprefix("//datastores/").rstrip("/")
    return f"azureml://datastores/{name}/paths/{path.lstrip('/')}"
