"""A compute's file: a named pool of nodes. What a machine is like is the machine's own; only counts have an effect.

Source: "CLI (v2) compute cluster (AmlCompute) YAML schema" of Azure Machine Learning.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from gristmill.deployment import references
from gristmill.deployment.kinds import Choice, Integer, Text
from gristmill.deployment.report import Refused, Report
from gristmill.deployment.sections import Given, Key, Section
from gristmill.documents.described import TAGS, passed_over
from gristmill.documents.opening import opened
from gristmill.documents.requirement import require


def _name(text: str) -> str:
    if text.startswith("azureml:"):
        raise Refused(f"{text[:80]!r} is a reference; give the name alone")
    return references.compute_rule(text)


COMPUTE: Final = Section(
    (
        Key(
            name="name",
            kind=Text(_name, limits="letters, digits, `_`, `.`, `-`; up to 64"),
            default="required",
            meaning="Name of the compute; `--name` wins over it.",
        ),
        Key(
            name="type",
            kind=Choice(("amlcompute", "kubernetes", "local")),
            default="`amlcompute`",
            meaning="Carried along: all are pools of nodes.",
        ),
        Key(name="min_instances", kind=Integer(0), default="0", meaning="Instances that are always there."),
        Key(
            name="max_instances",
            kind=Integer(1),
            default="4",
            meaning="The most that a job may ask for; `local` has no limit unless one is given.",
        ),
        Key(
            name="idle_time_before_scale_down",
            kind=Integer(0),
            meaning="Seconds; carried along.",
        ),
        Key(name="size", kind=Text(), meaning="Carried along."),
        Key(name="tier", kind=Choice(("dedicated", "low_priority")), meaning="Carried along."),
        *TAGS,
        *passed_over(
            "location",
            "identity",
            "network_settings",
            "ssh_public_access_enabled",
            "ssh_settings",
            "enable_node_public_ip",
            "namespace",
            "resource_id",
            shown=("provisioning_errors", "created_on"),
        ),
    ),
    hints={"instance_count": "A job says how many it wants; a compute has min_instances and max_instances"},
)


def load_compute(
    source: Path | str | Mapping[str, Any], *, overrides: Sequence[str] = (), name: str | None = None
) -> dict[str, Any]:
    """Return a compute; the parameters are those of `load_deployment_document`.

    Raises:
        InvalidDocument: the document cannot be used; it lists every fault.

    """
    document = opened(source, what="compute").set(overrides).told(name=name)
    given = COMPUTE.read(document.root, document.report)
    require(given, "name", "Give it in the file, or as --name", document.report)
    _check_counts(given, document.report)
    document.close()
    return given.plain()


def _check_counts(given: Given, report: Report) -> None:
    if not (given.sound("min_instances") and given.sound("max_instances")):
        return
    least, most = given.values["min_instances"], given.values["max_instances"]
    if least > most:
        report.add(given.at("min_instances"), f"{least} is more than max_instances {most}; give {most} or less")
