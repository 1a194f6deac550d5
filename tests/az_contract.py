"""The commands of `az ml` that scripts for batch endpoints are made of, with their flags, as Azure's references say.

`OF_ALL` are taken by every command. Where Azure has a short form, it stands with the long one.
"""

from __future__ import annotations

from typing import Final

OF_ALL: Final = (
    "-g/--resource-group -w/--workspace-name --subscription --query -o/--output --debug --verbose --only-show-errors"
)

_EDITS: Final = "--set --add --remove --force-string"
_ASSET: Final = "-n/--name -v/--version -l/--label"
_LISTED: Final = "-n/--name -r/--max-results --archived-only --include-archived"
_INVOKE: Final = (
    "-d/--deployment-name --input-type --output-path -m/--mini-batch-size -c/--instance-count --job-name --set"
)
_INPUTS_OF_BEFORE: Final = (
    "--input-data --input-dataset --input-datastore --input-path --input-local-path --output-datastore"
)

#: Flags by command.
COMMANDS: Final = {
    "batch-endpoint create": "-f/--file -n/--name --set --no-wait",
    "batch-endpoint show": "-n/--name",
    "batch-endpoint list": "",
    "batch-endpoint update": f"-n/--name -f/--file --defaults {_EDITS} --no-wait",
    "batch-endpoint delete": "-n/--name -y/--yes --no-wait",
    "batch-endpoint invoke": (
        f"-n/--name --input {_INVOKE} --inputs --outputs -f/--file --experiment-name {_INPUTS_OF_BEFORE}"
    ),
    "batch-endpoint list-jobs": "-n/--name",
    "batch-deployment create": (
        "-f/--file -n/--name -e/--endpoint-name --set --set-default --skip-script-validation --no-wait"
    ),
    "batch-deployment show": "-n/--name -e/--endpoint-name",
    "batch-deployment list": "-e/--endpoint-name",
    "batch-deployment update": f"-n/--name -e/--endpoint-name -f/--file {_EDITS} --skip-script-validation --no-wait",
    "batch-deployment delete": "-n/--name -e/--endpoint-name -y/--yes --no-wait",
    "batch-deployment list-jobs": "-n/--name -e/--endpoint-name",
    "job show": "-n/--name -e/--web",
    "job stream": "-n/--name",
    "job download": "-n/--name --output-name -p/--download-path --all",
    "job cancel": "-n/--name --no-wait",
    "job archive": "-n/--name",
    "job restore": "-n/--name",
    "job list": "-p/--parent-job-name -r/--max-results --all-results --archived-only --include-archived",
    "model create": (
        "-f/--file -n/--name -v/--version -t/--type -p/--path -s/--stage --description --tags --set --no-wait"
    ),
    "model show": _ASSET,
    "model list": _LISTED,
    "model update": f"{_ASSET} --description --stage {_EDITS} --no-wait",
    "model archive": _ASSET,
    "model restore": _ASSET,
    "data create": (
        "-f/--file -n/--name -v/--version -t/--type -p/--path -d/--description --tags --skip-validation --set --no-wait"
    ),
    "data show": _ASSET,
    "data list": _LISTED,
    "data update": f"{_ASSET} --description {_EDITS} --no-wait",
    "data archive": _ASSET,
    "data restore": _ASSET,
    "environment create": (
        "-f/--file -n/--name -v/--version -i/--image -c/--conda-file -b/--build-context -d/--dockerfile-path --os-type "
        "--description --tags --set --no-wait"
    ),
    "environment show": _ASSET,
    "environment list": _LISTED,
    "environment update": f"{_ASSET} --description {_EDITS} --no-wait",
    "environment archive": _ASSET,
    "environment restore": _ASSET,
    "datastore create": "-f/--file -n/--name --set",
    "datastore show": "-n/--name",
    "datastore list": "-r/--max-results",
    "datastore update": f"-n/--name -f/--file {_EDITS}",
    "datastore delete": "-n/--name",
    "compute create": (
        "-f/--file -n/--name -t/--type --min-instances --max-instances -d/--idle-time-before-scale-down --size --tier "
        "-l/--location --description --tags --set --no-wait --ssh-public-access-enabled --identity-type --vnet-name "
        "--subnet --enable-node-public-ip --user-assigned-identities"
    ),
    "compute show": "-n/--name",
    "compute list": "-t/--type -r/--max-results",
    "compute update": (
        f"-n/--name --min-instances --max-instances -d/--idle-time-before-scale-down --tags {_EDITS} --no-wait"
    ),
    "compute delete": "-n/--name -y/--yes --no-wait",
    # The group of 2021.
    "endpoint create": "-t/--type -f/--file -n/--name --set --no-wait",
    "endpoint show": "-t/--type -n/--name --deployment",
    "endpoint list": "-t/--type",
    "endpoint update": f"-t/--type -n/--name -f/--file --deployment-file --deployment --traffic {_EDITS} --no-wait",
    "endpoint invoke": f"-t/--type -n/--name {_INVOKE} {_INPUTS_OF_BEFORE}",
    "endpoint delete": "-t/--type -n/--name --deployment -y/--yes --no-wait",
    "endpoint list-jobs": "-t/--type -n/--name",
    # What scripts call around these; "az" itself is dropped.
    "configure": "-d/--defaults",
    "account show": "",
    "account set": "-n/--name",
    "account get-access-token": "--resource",
}


def flags(command: str) -> list[set[str]]:
    """Return each flag of a command, those of all included, in all of its forms."""
    return [forms(flag) for flag in f"{COMMANDS[command]} {OF_ALL}".split()]


def forms(flag: str) -> set[str]:
    """Return the forms of a flag: "-n" and "--name" of "-n/--name"."""
    return set(flag.split("/"))
