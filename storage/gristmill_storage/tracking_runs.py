"""What is written of a job into MLflow, by the process that has it. Each request may come again: nothing is doubled.

    run   {"id": "...", "experiment": "...", "name": "...", "began": milliseconds, "tags": {}, "params": {},
           "inputs": [{"name", "digest", "source_type", "source", "context"}]}
    end   {"status": "FINISHED", "ended": milliseconds, "tags": {}, "artifacts": {name: address}}

A run is made once: it bears `id` in a tag from its first moment, and is looked for by that. Of two that were made side
by side all the same, by two servers, the one with the lesser run id stays.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
import posixpath
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from gristmill.errors import Mistake, StorageFailed
from gristmill_storage.files import open_store
from gristmill_storage.registry import artifact_root, ask, redacted

#: Tag by which a job's run is found.
ID_TAG: Final = "gristmill.id"
#: Tag of a job that failed or was cancelled: why.
ERROR_TAG: Final = "gristmill.error"
#: Tag, "true", of a run whose copy of a file was cut off.
CUT_TAG: Final = "gristmill.artifacts_cut"

#: Bytes of a file that a run gets a copy of, at most.
MOST_ARTIFACT_BYTES: Final = 10 << 20

#: What MLflow takes at least, in all its versions and stores.
_MOST_KEY: Final = 250
_MOST_PARAM: Final = 500
_MOST_TAG: Final = 5000
_MOST_ENTITIES: Final = 100
_MOST_METRICS: Final = 1000

#: MLflow's codes of what will be refused again.
_REFUSED: Final = frozenset(
    ["INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS", "BAD_REQUEST", "INVALID_STATE"]
)
_ABSENT: Final = frozenset(["RESOURCE_DOES_NOT_EXIST", "NOT_FOUND"])

log = logging.getLogger("gristmill.tracking")


def write(uri: str, request: Mapping[str, Any]) -> dict[str, Any]:
    """Write what a request says (see `tracking.py`); return the run's "run_id" and "experiment_id", and a "note".

    Raises:
        MissingExtra: MLflow is not installed.
        Mistake: it is refused, and will be again.
        StorageFailed: it cannot be done now.

    """
    client = ask(lambda found: found, tracking_uri=uri)
    with _translated(uri):
        run = _begin(client, uri, request)
        identifier = run.info.run_id
        _log(client, identifier, request.get("points") or ())
        note = _end(client, identifier, request["end"]) if request.get("end") else ""
        return {"run_id": identifier, "experiment_id": run.info.experiment_id, "note": note}


@contextmanager
def _translated(uri: str) -> Iterator[None]:
    import mlflow.exceptions  # noqa: PLC0415 - an optional extra, and seconds to import

    server = f"the tracking server {redacted(uri)}"
    try:
        yield
    except mlflow.exceptions.MlflowException as error:
        reason = redacted(str(error).strip().partition("\n")[0])
        if getattr(error, "error_code", "") in _REFUSED:
            raise Mistake(f"{server} refuses it: {reason}") from error
        raise StorageFailed(f"{server} failed: {reason}") from error
    except OSError as error:
        raise StorageFailed(f"{server} failed: {redacted(str(error))}") from error


def _begin(client: Any, uri: str, request: Mapping[str, Any]) -> Any:
    """Return the run that is meant: the known one, the one that is found, or a new one."""
    known, described = str(request.get("run_id") or ""), request.get("run")
    run = _known(client, known, insist=not described) if known else None
    if described:
        fresh = run is None
        run = run or _found(client, uri, described)
        if run.info.status != "RUNNING":
            client.update_run(run.info.run_id, status="RUNNING")
        if ERROR_TAG in run.data.tags:
            client.delete_tag(run.info.run_id, ERROR_TAG)
        if fresh:
            _describe(client, run.info.run_id, described)
    if run is None:
        raise Mistake("a run that is neither known nor described cannot be written")
    return run


def _known(client: Any, identifier: str, *, insist: bool) -> Any:
    """Return a run by its id; None where it is gone, unless that is not to be."""
    try:
        return client.get_run(identifier)
    except Exception as error:
        if insist or getattr(error, "error_code", "") not in _ABSENT:
            raise
        return None


def _found(client: Any, uri: str, described: Mapping[str, Any]) -> Any:
    """Return the run of a job, made if there is none."""
    experiment = _experiment(client, uri, described["experiment"])
    runs = _runs(client, experiment, described["id"])
    if runs:
        return min(runs, key=lambda run: str(run.info.run_id))
    made = client.create_run(
        experiment,
        start_time=described["began"],
        tags=dict(_tags({**described["tags"], ID_TAG: described["id"]})),
        run_name=described["name"],
    )
    kept = min([made, *_runs(client, experiment, described["id"])], key=lambda run: str(run.info.run_id))
    if kept.info.run_id != made.info.run_id:
        client.delete_run(made.info.run_id)
    return kept


def _runs(client: Any, experiment: str, identifier: str) -> list[Any]:
    return list(client.search_runs([experiment], filter_string=f"tags.`{ID_TAG}` = '{identifier}'"))


def _experiment(client: Any, uri: str, name: str) -> str:
    """Return the id of an experiment, made if there is none of that name."""
    found = client.get_experiment_by_name(name)
    if found is None:
        root = artifact_root(uri)
        place = f"{root}/{_folder(name)}" if root else None
        try:
            return str(client.create_experiment(name, artifact_location=place))
        except Exception:
            found = client.get_experiment_by_name(name)  # another may have been quicker
            if found is None:
                raise
    if found.lifecycle_stage != "active":
        raise Mistake(f"experiment_name: {name} is deleted in MLflow; restore it there, or give another")
    return str(found.experiment_id)


def _folder(experiment: str) -> str:
    """Return the name of an experiment's folder, which stays below its root whatever the experiment is called."""
    return f"{re.sub(r'[^A-Za-z0-9-]+', '_', experiment)[:60]}-{hashlib.sha256(experiment.encode()).hexdigest()[:8]}"


def _describe(client: Any, identifier: str, described: Mapping[str, Any]) -> None:
    """Write what is known of a job from its beginning on."""
    from mlflow.entities import Param  # noqa: PLC0415 - an optional extra

    params = [Param(_key(key), str(value)[:_MOST_PARAM]) for key, value in described["params"].items()]
    for some in _portions(params, _MOST_ENTITIES):
        client.log_batch(identifier, params=some)
    inputs = [_input(given) for given in described["inputs"]]
    if inputs:
        client.log_inputs(identifier, datasets=inputs)


def _input(given: Mapping[str, str]) -> Any:
    from mlflow.entities import Dataset, DatasetInput, InputTag  # noqa: PLC0415 - an optional extra

    dataset = Dataset(
        name=given["name"], digest=given["digest"], source_type=given["source_type"], source=given["source"]
    )
    return DatasetInput(dataset, [InputTag("mlflow.data.context", given["context"])])


def _log(client: Any, identifier: str, points: Iterable[Sequence[Any]]) -> None:
    """Write metrics as they were at their moments."""
    from mlflow.entities import Metric  # noqa: PLC0415 - an optional extra

    metrics = [
        Metric(_key(name), float(value), int(moment), int(step))
        for moment, step, values in points
        for name, value in values.items()
    ]
    for some in _portions(metrics, _MOST_METRICS):
        client.log_batch(identifier, metrics=some)


def _end(client: Any, identifier: str, end: Mapping[str, Any]) -> str:
    """Write how a job ended; return what is to be said of that.

    Files come last, and one try is enough: they may go to a store of their own, which may never take them.
    """
    _tag(client, identifier, end["tags"])
    client.set_terminated(identifier, status=end["status"], end_time=int(end["ended"]))
    try:
        cut = _put_files(client, identifier, end["artifacts"])
    except Exception as error:  # noqa: BLE001 - each store of artifacts has errors of its own
        reason = redacted(f"{type(error).__name__}: {error}".partition("\n")[0])
        log.warning("run %s: its files could not be stored: %s", identifier, reason)
        return f"its files could not be stored: {reason}"
    if cut:
        _tag(client, identifier, {CUT_TAG: "true"})
    return ""


def _put_files(client: Any, identifier: str, addresses: Mapping[str, str]) -> bool:
    """Give a run copies of a job's files; return whether one was cut off."""
    with tempfile.TemporaryDirectory(prefix="gristmill-run-") as scratch:
        cuts = {name: _copy(address, Path(scratch, name)) for name, address in addresses.items()}
        for name, cut in cuts.items():
            if cut is not None:
                client.log_artifact(identifier, str(Path(scratch, name)))
        return any(cuts.values())


def _tag(client: Any, identifier: str, tags: Mapping[str, str]) -> None:
    from mlflow.entities import RunTag  # noqa: PLC0415 - an optional extra

    for some in _portions([RunTag(key, value) for key, value in _tags(tags)], _MOST_ENTITIES):
        client.log_batch(identifier, tags=some)


def _copy(address: str, path: Path) -> bool | None:
    """Copy whole lines of a job's file; return whether some were left out, None where the file cannot be read."""
    folder, _, name = address.rpartition("/")
    try:
        with open_store(folder).open(name) as source:
            data = source.read(MOST_ARTIFACT_BYTES + 1)
    except (StorageFailed, OSError) as error:
        log.warning("%s is not put into its run: %s", name, error)
        return None
    cut = len(data) > MOST_ARTIFACT_BYTES
    path.write_bytes(data[: data.rfind(b"\n", 0, MOST_ARTIFACT_BYTES) + 1] if cut else data)
    return cut


def _tags(tags: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    return ((_key(key), str(value)[:_MOST_TAG]) for key, value in tags.items())


def _key(text: str) -> str:
    """Return a name that MLflow takes: in some of its stores they are paths."""
    key = re.sub(r"[^\w./\- ]", "_", text)[:_MOST_KEY]
    plain = posixpath.normpath(key) == key and not key.startswith((".", "/"))
    return key if plain else "_" + re.sub(r"[/.]", "_", key)


def _portions(all_of_it: Sequence[Any], most: int) -> Iterator[list[Any]]:
    rest = iter(all_of_it)
    while some := list(itertools.islice(rest, most)):
        yield some
