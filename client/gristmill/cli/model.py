"""`gristmill model ...`: the registry of models."""

from __future__ import annotations

from typing import Any, Final

from gristmill.cli.assets import Asset
from gristmill.cli.service_options import add_tags, group
from gristmill.cli.views import MODEL

_EXAMPLES: Final = {
    "create": """\
  gristmill model create -n digits --type custom_model --path model/
  gristmill model create -n taxi -v 3 --type mlflow_model --path runs:/0c1f/model
""",
    "list": """\
  gristmill model list -o table
  gristmill model list -n digits --query [].version
""",
    "show": """\
  gristmill model show -n digits --label latest
""",
    "update": """\
  gristmill model update -n digits -v 1 --set tags.owner=me
""",
}

MODELS: Final = Asset(
    word="model",
    a="a model",
    operations="models",
    view=MODEL,
    examples=_EXAMPLES,
    keys=("type", "path", "description", "tags", "stage"),
    flags=("description", "stage"),
)


def add(commands: Any) -> None:
    """Add the group."""
    create = MODELS.add(group(commands, "model", summary="register and look up models of a server"))
    types = "custom_model, mlflow_model or triton_model (default: custom_model)"
    create.add_argument("-t", "--type", metavar="TYPE", help=types)
    create.add_argument(
        "-p", "--path", metavar="PATH", help="its folder or file, or an address: models:/, runs:/, azureml:"
    )
    create.add_argument("-s", "--stage", metavar="STAGE", help="a word for where it stands, as Production")
    add_tags(create)
