"""The settings that hang together: the output's form and name, and those of models without a scoring script.

Source: the batch deployment YAML reference for `output_action` and `output_file_name`; Azure's own output is a text of
fields with a space between (scoring scripts) or a comma (MLflow models), without a header.
"""

from __future__ import annotations

from typing import Any, Final

from gristmill.deployment import messages
from gristmill.deployment.report import Report
from gristmill.deployment.schema import FORMATS
from gristmill.deployment.sections import Given
from gristmill.spec import OutputAction, PredictPer, RowFormat

_FILE_NAMES: Final = {
    RowFormat.TEXT: "predictions.csv",
    RowFormat.CSV: "predictions.csv",
    RowFormat.JSONL: "predictions.jsonl",
    RowFormat.PARQUET: "predictions.parquet",
}
#: Settings that say how rows are written, and so mean nothing where none are.
_OF_ROWS: Final = ("output_format", "header", "delimiter")
_OF_LINES: Final = ("header", "delimiter")
_OF_NO_CODE: Final = ("rows_per_predict", "predict_per", "split_files", "split_bytes")


def output_settings(settings: Given, *, has_code: bool, friendly: bool) -> dict[str, Any]:
    """Return output_format, header, delimiter and output_file_name, each default filled in.

    `friendly` makes CSV with a header the form that holds when none is given; Azure's text form holds otherwise.
    """
    default = RowFormat.CSV if friendly else RowFormat.TEXT
    form = FORMATS[settings.values["output_format"]] if settings.sound("output_format") else default
    comma = form is RowFormat.CSV or not has_code
    return {
        "output_format": form,
        "header": settings.get("header", form is RowFormat.CSV),
        "delimiter": settings.get("delimiter", "," if comma else " "),
        "output_file_name": settings.get("output_file_name", _FILE_NAMES[form]),
    }


def check_settings(settings: Given, *, has_code: bool, report: Report) -> None:
    """Note settings that contradict each other or would have no effect."""
    if settings.get("output_action", "") == OutputAction.SUMMARY_ONLY:
        _check_summary_only(settings, report)
    else:
        _check_lines(settings, report)
    if has_code:
        for key in _OF_NO_CODE:
            if settings.has(key):
                report.add(
                    settings.at(key),
                    "has no effect with a scoring script, which is given whole mini-batches; remove it",
                )
        return
    if settings.has("split_bytes") and settings.get("split_files", False) is not True:
        report.add(settings.at("split_bytes"), "has no effect without split_files: true; add that, or remove it")
    if settings.has("rows_per_predict") and settings.get("predict_per", "") == PredictPer.MINI_BATCH:
        report.add(settings.at("rows_per_predict"), "excludes predict_per: mini_batch; give one of the two")


def _check_summary_only(settings: Given, report: Report) -> None:
    if settings.has("output_file_name"):
        report.add(settings.at("output_file_name"), f"{messages.OUTPUT_FILE_NAME_UNUSED} Remove it")
    for key in _OF_ROWS:
        if settings.has(key):
            report.add(
                settings.at(key), "has no effect with output_action: summary_only, which writes no rows; remove it"
            )


def _check_lines(settings: Given, report: Report) -> None:
    form = settings.get("output_format", "")
    if form not in {RowFormat.JSONL, RowFormat.PARQUET}:
        return
    for key in _OF_LINES:
        if settings.has(key):
            report.add(settings.at(key), f"has no effect with output_format: {form}; remove it")
