"""Every key of an endpoint's file, with its kind, default and meaning; see `gristmill.deployment.schema`."""

from __future__ import annotations

from typing import Final

from gristmill.deployment import rules
from gristmill.deployment.kinds import Choice, Ignored, Text, Texts
from gristmill.deployment.schema import SHOWN
from gristmill.deployment.sections import Key, Section

#: Of keys that Azure has and that mean nothing here.
ACCEPTED: Final = "Accepted, without effect."
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
        Key(name="$schema", kind=Ignored(), meaning=ACCEPTED, dropped=True),
        Key(
            name="name",
            kind=Text(rules.resource_name("an endpoint"), limits=NAME_LIMITS),
            default="required",
            meaning="Name of the endpoint; `--name` wins over it.",
        ),
        Key(name="description", kind=Text(), meaning="For people."),
        Key(name="tags", kind=Texts(), meaning="For people."),
        Key(name="properties", kind=Texts(), meaning="For programs; carried along."),
        Key(
            name="auth_mode",
            kind=Choice(("aad_token",)),
            default="`aad_token`",
            meaning="How callers show who they are: a bearer token.",
        ),
        Key(name="defaults", kind=DEFAULTS, meaning="What holds when a job does not say."),
        Key(name="identity", kind=Ignored(), meaning=ACCEPTED, dropped=True),
        Key(name="location", kind=Text(), meaning=ACCEPTED, dropped=True),
        *(
            Key(name=name, kind=Ignored(), meaning=SHOWN, dropped=True)
            for name in ("id", "scoring_uri", "openapi_uri", "provisioning_state", "creation_context")
        ),
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
