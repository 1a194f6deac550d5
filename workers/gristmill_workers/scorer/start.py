"""The first frame, read: everything a scorer must know before the user's code runs."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, Mapping, NamedTuple, Sequence

from .formats import Format


class Start(NamedTuple):
    """What the `start` frame says; each field stands there under the same name, `form` as `format`."""

    #: "script" or "mlflow".
    kind: str
    #: The folder of the input; items are joined to it.
    root: str
    #: The private folder that the script knows as AZUREML_BI_OUTPUT_PATH, empty at the start.
    output_dir: str
    #: Where the files of a finished attempt are moved, a folder <n>-<attempt> each.
    staging_dir: str
    #: The process's own working folder.
    working_dir: str
    #: How rows are written.
    form: Format = Format()
    #: The deployment's code folder, if it has one.
    code: str | None = None
    #: The scoring script, relative to `code`.
    script: str = ""
    #: The job's logs/user folder, or a scratch one.
    log_dir: str = ""
    #: The node's name.
    node: str = "node"
    #: This process's name.
    process: str = "process000"
    #: "warning", "info" or "debug".
    logging_level: str = "info"
    #: What follows the script's path in sys.argv.
    argv: Sequence[str] = ()
    #: For kind mlflow: {"path", "predict_per", "rows_per_predict"}.
    model: Mapping[str, Any] = MappingProxyType({})
    #: Folders of the deployment's own PYTHONPATH, absolute or relative to `code`.
    python_path: Sequence[str] = ()
    #: The process id of the node; 0: not to be checked.
    parent: int = 0

    @classmethod
    def from_frame(cls, header: dict[str, Any]) -> Start:
        """Read the frame; what is null or missing takes its default, what is unknown is passed over."""
        known = {name: header[name] for name in cls._fields if header.get(name) is not None}
        known["form"] = Format.from_json(header.get("format") or {})
        return cls(**known)
