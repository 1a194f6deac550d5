"""The names of everything in a job's folder, `<output folder>/.gristmill/<job name>/`.

    job.json                                    the job, as it was submitted
    lead.json                                   where its instances are sent, if it was begun again since
    manifest/<first>.jsonl                      the job's items, cut into mini-batches, in chunks
    manifest/end.json                           the plan is whole
    parts/<part>.part                           finished results
    files/<part>/<mini-batch>/<relative path>   files that scripts wrote
    logs/user/..., logs/sys/...                 what scripts printed, and what Gristmill has to say
    logs/readme.txt, logs/job_*.txt             which log is what; how far the job was when, and how it ended
    timeline.json                               when what happened, for the summary
    merge.json                                  which mini-batches count from which part
    publishing.json                             the aggregator is publishing: an output that is there may be its own
    result.json, summary.json, errors.jsonl     how the job ended
    index                                       which bytes of the published output are whose (see `output_index.py`)
    index.next                                  the same of an output that is about to appear
    partial.json                                a part of the output was published when the job was cancelled
    wishes/cancel.json, wishes/pause.json       what the user wants of a job that runs; read by its coordinator
    retry.jsonl                                 of a job that scores another's failed items again: which those are
    splice.json, errors.jsonl.next              of such a job: what is about to take the place of the other's results

Paths are relative to the job's folder, as its store takes them. Every other module takes its names from here.
"""

from __future__ import annotations

import re
from typing import Final

#: The folder beside the output that holds the jobs' folders; hidden, so that it is never an input.
HIDDEN: Final = ".gristmill"

SPEC: Final = "job.json"
#: On which compute it runs since it was begun again.
LEAD: Final = "lead.json"
TIMELINE: Final = "timeline.json"
#: Which mini-batches count from which part, fixed before they are merged.
MERGE: Final = "merge.json"
PUBLISHING: Final = "publishing.json"
#: The summary, here too; and the errors of a job that failed and so left none in the output folder.
SUMMARY: Final = "summary.json"
ERRORS: Final = "errors.jsonl"
RESULT: Final = "result.json"
#: Which bytes of the published output are which mini-batch's.
INDEX: Final = "index"
#: The index of an output that is about to appear.
INDEX_NEXT: Final = f"{INDEX}.next"
#: What was published of a job that was cancelled.
PARTIAL: Final = "partial.json"
#: What the user wants of a job that runs: a file a wish, which the coordinator sees.
WISH_CANCEL: Final = "wishes/cancel.json"
WISH_PAUSE: Final = "wishes/pause.json"
#: Of a job with `retry_of`: the other job's mini-batch and items, a line for each mini-batch of this one.
RETRY: Final = "retry.jsonl"
#: Of such a job: what is about to take the place of the other's output, and of its errors.
SPLICE: Final = "splice.json"
SPLICE_ERRORS: Final = "errors.jsonl.next"
MANIFEST: Final = "manifest"
MANIFEST_END: Final = "manifest/end.json"
PARTS: Final = "parts"
FILES: Final = "files"
LOGS: Final = "logs"
#: Failed attempts with their tracebacks, a folder a node.
USER_ERRORS: Final = "logs/user/error"
#: What Gristmill has to say, a folder a node.
NODE_LOGS: Final = "logs/sys/node"
#: What the scheduler does for a job, and what it and the instances warn of; a file each.
MASTER_ROLE: Final = "logs/sys/master_role.txt"
SYSTEM_ERRORS: Final = "logs/sys/error"
#: What machines and processes use, a folder a node.
PERFORMANCE: Final = "logs/sys/perf"
#: Which log is what, for people.
README: Final = "logs/readme.txt"
#: What went wrong in scripts, in short.
ERROR_SUMMARY: Final = "logs/user/error.txt"
#: The attempts at every mini-batch, and what processes and nodes did in all.
JOB_REPORT: Final = "logs/sys/job_report"
ATTEMPTS: Final = f"{JOB_REPORT}/processed_mini-batches.csv"
PROCESSES: Final = f"{JOB_REPORT}/process_summary.csv"
NODES: Final = f"{JOB_REPORT}/node_summary.csv"
#: How the names end of what one instance adds to these, in its node's folder: its attempts, and its sums.
INSTANCE_ATTEMPTS: Final = ".attempts.csv"
INSTANCE_SUMS: Final = ".sums.json"

#: Files beside the output, in the output folder itself.
OUTPUT_ERRORS: Final = "errors.jsonl"
OUTPUT_SUMMARY: Final = "summary.json"

_CHUNK: Final = re.compile(r"manifest/(\d{12,})\.jsonl")
_PART: Final = re.compile(r"parts/([^/]+)\.part")
_PART_NAME: Final = re.compile(r"([A-Za-z0-9._]+)-(\d{12,})-([A-Za-z0-9._-]+)-(\d{6,})")


def url(output_folder: str, job: str) -> str:
    """Return the address of a job's folder."""
    return f"{output_folder.rstrip('/')}/{HIDDEN}/{job}"


def chunk_path(first: int) -> str:
    """Return the path of the manifest's chunk that begins with the mini-batch `first`."""
    return f"{MANIFEST}/{first:012d}.jsonl"


def parse_chunk_path(path: str) -> int | None:
    """Return the number of the mini-batch with which the chunk at a path begins; None for any other path."""
    match = _CHUNK.fullmatch(path)
    return int(match[1]) if match else None


def part_name(epoch: str, first: int, instance: str, serial: int) -> str:
    """Return the name of a part.

    Args:
        epoch: The ledger's epoch: letters, digits, dots, underscores.
        first: The least mini-batch of the part.
        instance: Who writes it: letters, digits, dots, underscores, dashes.
        serial: Which of that writer's parts it is.

    Raises:
        ValueError: a name cannot be made of these.

    """
    name = f"{epoch}-{first:012d}-{instance}-{serial:06d}"
    if parse_part_name(name) != (epoch, first, instance, serial):
        raise ValueError(f"no part can be called {name!r}: see part_name() for the letters allowed")
    return name


def parse_part_name(name: str) -> tuple[str, int, str, int]:
    """Return (epoch, first mini-batch, instance, serial) of a part's name.

    Raises:
        ValueError: it is no part's name.

    """
    match = _PART_NAME.fullmatch(name)
    if not match:
        raise ValueError(f"{name!r} is no part's name")
    return match[1], int(match[2]), match[3], int(match[4])


def part_path(name: str) -> str:
    """Return the path of a part."""
    return f"{PARTS}/{name}.part"


def parse_part_path(path: str) -> str | None:
    """Return the name of the part at a path; None for any other."""
    match = _PART.fullmatch(path)
    return match[1] if match and _PART_NAME.fullmatch(match[1]) else None


def files_folder(part: str, mini_batch: int) -> str:
    """Return the folder of the files that a mini-batch's script wrote, belonging to a part."""
    return f"{FILES}/{part}/{mini_batch}"


def output_log(stream: str, node: str, process: int) -> str:
    """Return the path of what a scorer printed to `stream` ("stdout" or "stderr")."""
    return f"{LOGS}/user/{stream}/{node}/process{process:03d}.{stream}.txt"


def instance_log(node: str, instance: str, ending: str) -> str:
    """Return the path of what an instance adds to the job's report (`INSTANCE_ATTEMPTS` or `INSTANCE_SUMS`)."""
    return f"{NODE_LOGS}/{node}/{instance}{ending}"


def progress_log(hour: str) -> str:
    """Return the path of the lines that tell how far the job was in an hour (yyyymmddhh)."""
    return f"{LOGS}/job_progress_overview.{hour}.txt"


def result_log(moment: str) -> str:
    """Return the path of the text that tells how the job ended (at yyyymmddhhmmss)."""
    return f"{LOGS}/job_result.{moment}.txt"


def error_logs(moment: str) -> tuple[str, str]:
    """Return the paths of the text that tells why the job failed."""
    return f"{LOGS}/job_error.{moment}.txt", f"{LOGS}/user/job_error.{moment}.txt"
