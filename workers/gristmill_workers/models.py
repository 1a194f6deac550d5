"""Making a deployment's model ready: where scripts and MLflow find its files.

AZUREML_MODEL_DIR is a folder that holds the registered file or folder under its own name: `--path deployment/model`
is at `$AZUREML_MODEL_DIR/model/...`. A model of this machine is not copied: the folder is a tree of links. One at a
URL, or in a registry, is fetched into the cache once for all jobs.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from gristmill import spec
from gristmill.errors import Mistake, ModelNotFound
from gristmill.settings import ProcessSettings
from gristmill_storage.files import is_local, normalize
from gristmill_storage.reach import Reach
from gristmill_workers.fetching import MODEL, Log, fetched
from gristmill_workers.remote_models import resolved

#: Folders with more files than this are linked as a whole, not file by file.
_MIRROR: Final = 20_000

#: Bytes up to which a file that cannot be hard-linked is copied.
_COPIED: Final = 64 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class ModelFolder:
    """Where a deployment's model is on this machine."""

    #: What AZUREML_MODEL_DIR is to be; None without a model, and until it is linked.
    azureml_model_dir: Path | None
    #: The folder of the `MLmodel` file; None where it is no MLflow model.
    mlflow_path: Path | None
    #: Its own file or folder on this machine; None without a model.
    source: Path | None = None


def prepare_model(
    deployment: spec.Deployment, *, scratch: Path, settings: ProcessSettings, log: Log, reach: Reach | None = None
) -> ModelFolder:
    """Make a deployment's model ready on this machine, as `find_model` and `linked` do."""
    return linked(find_model(deployment, scratch=scratch, settings=settings, log=log, reach=reach), scratch)


def linked(model: ModelFolder, folder: Path) -> ModelFolder:
    """Make the tree of links to a model that scripts look into, in a folder."""
    if model.source is None:
        return model
    place = folder / "model"
    _link(model.source, place / model.source.name)
    return replace(model, azureml_model_dir=place)


def find_model(
    deployment: spec.Deployment, *, scratch: Path, settings: ProcessSettings, log: Log, reach: Reach | None = None
) -> ModelFolder:
    """Have a deployment's model on this machine.

    Args:
        deployment: The deployment.
        scratch: The instance's own folder, for what cannot be kept for other jobs.
        settings: The process's settings.
        log: Called with each line that a reader of the job's log should see.
        reach: Which hosts a web address may lead to; None: any.

    Raises:
        ModelNotFound: there is no model where the deployment says.
        Mistake: it is none that can be scored without a script.
        StorageFailed: it cannot be fetched.

    """
    model = deployment.model
    no_code = deployment.code_configuration is None
    if model is None:
        if no_code:
            raise ModelNotFound("model: none is given, and no scoring script either; give one of the two")
        return ModelFolder(azureml_model_dir=None, mlflow_path=None)
    path = _on_this_machine(model, scratch, settings, log, reach)
    wanted = no_code or model.type is not spec.ModelType.CUSTOM
    mlflow_path = path if wanted and is_mlflow(path) else None
    if no_code or model.type is spec.ModelType.MLFLOW:
        _check_mlflow(path, mlflow_path, no_code=no_code)
    return ModelFolder(azureml_model_dir=None, mlflow_path=mlflow_path, source=path)


def is_mlflow(path: Path) -> bool:
    """Return whether a folder is an MLflow model."""
    return (path / "MLmodel").is_file()


def has_python_function(path: Path) -> bool:
    """Return whether an MLflow model can be loaded as `python_function`, whatever made it.

    Raises:
        Mistake: its `MLmodel` file cannot be read.

    """
    import yaml  # noqa: PLC0415 (slow, and only MLflow models need it)

    try:
        document = yaml.safe_load((path / "MLmodel").read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise Mistake(f"model: {path / 'MLmodel'} cannot be read: {' '.join(str(error).split())}") from error
    flavors = document.get("flavors") if isinstance(document, dict) else None
    return isinstance(flavors, dict) and "python_function" in flavors


def _check_mlflow(path: Path, mlflow_path: Path | None, *, no_code: bool) -> None:
    """Refuse what is to be used as an MLflow model and cannot be."""
    if mlflow_path is None:
        inside = sorted(found.parent.name for found in path.glob("*/MLmodel"))
        hint = f"; did you mean its folder {inside[0]!r}?" if inside else ""
        advice = hint or "; give the folder of an MLflow model, or a scoring script (code_configuration)"
        raise ModelNotFound(f"model: {path} holds no MLmodel file{advice}")
    if no_code and not has_python_function(mlflow_path):
        raise Mistake(
            f"model: {path} has no python_function flavor, so nothing but a scoring script can use it; "
            "give code_configuration, or save the model with one"
        )


def _on_this_machine(
    model: spec.Model, scratch: Path, settings: ProcessSettings, log: Log, reach: Reach | None
) -> Path:
    """Return the path of a model's file or folder, fetched if it is elsewhere."""
    if not model.path:
        return resolved(model, scratch, settings, log)
    if not is_local(model.path):
        return fetched(model.path, MODEL, settings, log, reach)
    path = Path(normalize(model.path, Path.cwd()))
    if not path.exists():
        raise ModelNotFound(
            f"model.path: {path} does not exist on this machine; give a path that every node sees, or a URL"
        )
    return path


def _link(path: Path, place: Path) -> None:
    """Make a file or folder appear at another place: folders are made, files are hard links where they can be.

    A link to the folder itself would do for glob and open, but os.walk and pathlib's rglob pass links by; and what a
    script writes beside its model stays out of the user's folder. MLflow refuses files whose real path leads out of
    the model's folder: so hard links, and copies of a model's few small files where the folder is on another disk.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.is_symlink() or place.exists():
        return
    if not path.is_dir() or _larger(path, _MIRROR):
        place.symlink_to(path.absolute(), target_is_directory=path.is_dir())
        return
    unfinished = place.with_name(place.name + ".new")
    shutil.rmtree(unfinished, ignore_errors=True)
    _mirror(path.absolute(), unfinished)
    unfinished.rename(place)


def _mirror(folder: Path, place: Path) -> None:
    place.mkdir()
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                _mirror(folder / entry.name, place / entry.name)
            else:
                _link_file(Path(entry.path), place / entry.name)


def _link_file(path: Path, place: Path) -> None:
    """Give a file a second place: by a hard link, else by a copy if it is small, else by a link by name."""
    with contextlib.suppress(OSError):
        place.hardlink_to(path.resolve())
        return
    if path.is_file() and path.stat().st_size <= _COPIED:
        shutil.copyfile(path, place)
    else:
        place.symlink_to(path)


def _larger(folder: Path, limit: int) -> bool:
    """Return whether a folder holds more files and folders than a limit, counting no further than that."""
    counts = itertools.accumulate(len(folders) + len(files) for _, folders, files in os.walk(folder))
    return any(count > limit for count in counts)
