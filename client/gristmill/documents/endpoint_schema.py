"""Every key of an endpoint's file, with its kind, default and meaning; see `gristmill.deployment.schema`."""

from __future__ import annotations

from typing import Final

from gristmill.deployment import rules
from gristmill.deployment.kinds import Choice, Text
from gristmill.deployment.sections import Key, Section
from gristmill.documents.described import TAGS, passed_over

NAME_LIMITS: Final = "letters, digits, dashes; 3 to 32 characters; lower-cased"

DEFAULTS: Final = Section(
    (
        Key(
            name="deployment_name",
            kind=Text(rules.resource_name("a deployment"), limits=NAME_LIMITS),
            meaning="The deployment that scores when a job names none.",
        ),
    ),
    path="defaults",
)

ENDPOINT: Final = Section(
    (
        Key(
            name="name",
            kind=Text(rules.resource_name("an endpoint"), limits=NAME_LIMITS),
            default="required",
            meaning="Name of the endpoint; `--name` wins over it.",
        ),
        *TAGS,
        Key(
            name="auth_mode",
            kind=Choice(("aad_token",)),
            default="`aad_token`",
            meaning="How callers show who they are: a bearer token.",
        ),
        Key(name="defaults", kind=DEFAULTS, meaning="What holds when a job does not say."),
        *passed_over("identity", "location", shown=("scoring_uri", "openapi_uri")),
    ),
    hints={
        "traffic": "That is the 2021 form; write defaults: deployment_name: <deployment>",
        "deployments": "That is the 2021 form; write one file a deployment, with endpoint_name, and type: model",
        "type": "Only the 2021 form has it, as type: batch; leave it out",
        "endpoint_name": "It is a deployment's key; give the endpoint's file, with name",
        "deployment_name": "It belongs beneath defaults",
        "kind": "Leave it out",
        "compute": "It is a deployment's key",
        "model": "It is a deployment's key",
    },
)
