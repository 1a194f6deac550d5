"""Every key of the files of a model, data and an environment; see `gristmill.deployment.schema`.

Source: the model, data and environment YAML schemas of the Azure ML CLI v2.
"""

from __future__ import annotations

from typing import Final

from gristmill.deployment.kinds import Choice, Loose, Text, Version
from gristmill.deployment.schema import ENVIRONMENT_CONTENTS, ENVIRONMENT_HINTS
from gristmill.deployment.schema import MODEL as INLINE_MODEL
from gristmill.deployment.sections import Key, Section
from gristmill.documents import described
from gristmill.documents.described import OF_VERSIONS, TAGS, named, passed_over
from gristmill.spec import ModelType

_VERSION: Final = Key(
    name="version",
    kind=Version(described.version, limits=described.LIMITS),
    default="the next number",
    meaning="Its version; `--version` wins over it.",
)

MODEL: Final = Section(
    (
        named("model"),
        _VERSION,
        Key(
            name="type",
            kind=Choice(tuple(word.value for word in ModelType)),
            default="by the files",
            meaning="How the files are laid out.",
        ),
        Key(
            name="path",
            kind=Text(),
            default="required",
            meaning="File or folder, relative to the file; a URL; `azureml://...`; `runs:/<run>/<path>`.",
        ),
        *TAGS,
        Key(name="flavors", kind=Loose(), meaning="Flavors of an MLflow model; carried along."),
        Key(name="stage", kind=Text(), meaning="Carried along."),
        *passed_over(
            "datastore",
            "job_name",
            "utc_time_created",
            "intellectual_property",
            "system_metadata",
            "default_deployment_template",
            "allowed_deployment_templates",
            shown=OF_VERSIONS,
        ),
    ),
    hints=INLINE_MODEL.hints,
)

DATA: Final = Section(
    (
        named("data asset"),
        _VERSION,
        Key(
            name="type",
            kind=Choice(("uri_file", "uri_folder", "mltable")),
            default="by what is there, else `uri_folder`",
            meaning="What the path names. An `mltable` can be registered, but not scored.",
        ),
        Key(
            name="path",
            kind=Text(),
            default="required",
            meaning="File or folder, relative to the file; a URL; `azureml://datastores/<name>/paths/<path>`.",
        ),
        *TAGS,
        *passed_over("datastore", "auto_delete_setting", shown=OF_VERSIONS),
    ),
    hints={"local_path": "That is the 2021 form; write path: <file or folder>", "paths": "Did you mean path?"},
)

BUILD: Final = Section(
    (
        Key(name="path", kind=Text(), default="required", meaning="Folder that is built, relative to the file."),
        Key(name="dockerfile_path", kind=Text(), default="`Dockerfile`", meaning="Relative to `build.path`."),
    ),
    hints={"local_path": "That is the 2021 form; write path: <folder>"},
    path="build",
)

ENVIRONMENT: Final = Section(
    (
        named("environment"),
        _VERSION,
        *ENVIRONMENT_CONTENTS,
        Key(
            name="build",
            kind=BUILD,
            meaning="Recorded: Gristmill builds no containers, and no deployment can use it. Excludes `image`.",
        ),
        *TAGS,
        Key(name="os_type", kind=Choice(("linux", "windows")), meaning="Carried along."),
        *passed_over(
            "inference_config", "datastore", "auto_delete_setting", "intellectual_property", shown=OF_VERSIONS
        ),
    ),
    hints=ENVIRONMENT_HINTS,
)
