"""`gristmill environment ...`: the Pythons that score, by name."""

from __future__ import annotations

from typing import Any, Final

from gristmill.cli.assets import Asset
from gristmill.cli.service_options import add_tags, group
from gristmill.cli.views import ENVIRONMENT

_EXAMPLES: Final = {
    "create": """\
  gristmill environment create -n torch --conda-file environment/conda.yaml --image ubuntu
""",
    "list": """\
  gristmill environment list -o table
""",
    "show": """\
  gristmill environment show -n torch --label latest
""",
    "update": """\
  gristmill environment update -n torch -v 1 --set tags.owner=me
""",
}

ENVIRONMENTS: Final = Asset(
    word="environment",
    a="an environment",
    operations="environments",
    view=ENVIRONMENT,
    examples=_EXAMPLES,
    keys=("image", "conda_file", "build.path", "build.dockerfile_path", "os_type", "description", "tags"),
)


def add(commands: Any) -> None:
    """Add the group."""
    create = ENVIRONMENTS.add(group(commands, "environment", summary="register and look up environments of a server"))
    create.add_argument("-i", "--image", metavar="IMAGE", help="image; no container is run, but az files name one")
    create.add_argument("-c", "--conda-file", metavar="FILE", help="conda file of its packages")
    create.add_argument(
        "-b", "--build-context", dest="build.path", metavar="DIR", help="folder of a Dockerfile, as az has it"
    )
    text = "the Dockerfile in it"
    create.add_argument("-d", "--dockerfile-path", dest="build.dockerfile_path", metavar="FILE", help=text)
    create.add_argument("--os-type", metavar="NAME", help="linux")
    add_tags(create)
