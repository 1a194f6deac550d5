"""`gristmill data ...`: data assets, names for what is scored."""

from __future__ import annotations

from typing import Any, Final

from gristmill.cli.assets import Asset
from gristmill.cli.service_options import add_tags, group
from gristmill.cli.views import DATA

_EXAMPLES: Final = {
    "create": """\
  gristmill data create -n digits --type uri_folder --path images/
  gristmill data create -f data.yml
""",
    "list": """\
  gristmill data list -o table
""",
    "show": """\
  gristmill data show -n digits --label latest --query id -o tsv
""",
    "update": """\
  gristmill data update -n digits -v 1 --set description='handwritten digits'
""",
}

DATA_ASSETS: Final = Asset(
    word="data",
    a="a data asset",
    operations="data",
    view=DATA,
    examples=_EXAMPLES,
    keys=("type", "path", "description", "tags"),
)


def add(commands: Any) -> None:
    """Add the group."""
    create = DATA_ASSETS.add(group(commands, "data", summary="register and look up data assets of a server"))
    create.add_argument("-t", "--type", metavar="TYPE", help="uri_folder or uri_file (default: uri_folder)")
    create.add_argument("-p", "--path", metavar="PATH", help="its folder or file, or an address")
    create.add_argument("--skip-validation", action="store_true", help="nothing follows from it")
    add_tags(create, "-d")
