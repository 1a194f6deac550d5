"""The sentences that Azure's own tools answer with, in one table: users search for them, so they stay as they are.

Source: azure-ai-ml (marshmallow schemas and entities) and the YAML reference of the Azure ML CLI v2. In a message, each
is followed by the value found and the way to mend it.
"""

from __future__ import annotations

from typing import Final

UNKNOWN_FIELD: Final = "Unknown field."
MISSING: Final = "Missing data for required field."
NULL: Final = "Field may not be null."
NOT_INTEGER: Final = "Not a valid integer."
NOT_TEXT: Final = "Not a valid string."
NOT_BOOLEAN: Final = "Not a valid boolean."
NOT_MAPPING: Final = "Not a valid mapping type."
NOT_LIST: Final = "Not a valid list."
NOT_IN_SET: Final = "Value '{value}' passed is not in set {allowed}."
PATTERN: Final = "String does not match expected pattern."
NAME_LENGTH: Final = "The name for {what} must be at least 3 and at most 32 characters long (inclusive of both limits)."
INSTANCE_COUNT_TWICE: Final = "Can't set instance_count when resources is provided."
OUTPUT_FILE_NAME_UNUSED: Final = (
    "When output_action is set to summary_only, the output_file_name need not to be specified."
)
NO_SCRIPT: Final = "scoring script can't be empty."
SCRIPT_UNREADABLE: Final = "Failed to open scoring script {script}."
SCRIPT_SYNTAX: Final = "Failed to submit deployment {name} due to syntax errors in scoring script {script}"
SET_BENEATH_REFERENCE: Final = "Cannot use '--set' on properties defined by reference strings."
