"""`gristmill run`: score a folder of files."""

from __future__ import annotations

import argparse
from typing import Any

from gristmill import api
from gristmill.cli.follow import follow
from gristmill.cli.options import command
from gristmill.errors import Mistake

_EXAMPLE = """\
  gristmill run deployment.yml --input images/ --output scores/
  gristmill run deployment.yml --input images/ --output scores/ --set settings.mini_batch_size=50 --overwrite
  gristmill run --model model/ --scoring-script score.py --input images/ --output scores.csv
"""


def add(commands: Any) -> None:
    """Add the command."""
    parser = command(commands, "run", summary="score a folder of files", example=_EXAMPLE)
    parser.add_argument("deployment", nargs="?", metavar="DEPLOYMENT.yml", help="deployment; without it give --model")
    parser.add_argument("--input", required=True, metavar="PATH_OR_URL", help="what is scored: a folder or a file")
    parser.add_argument(
        "--output", required=True, metavar="PATH", help="folder of the results, or the output file in it (scores.csv)"
    )
    parser.add_argument("--model", metavar="PATH_OR_URI", help="model; stands in for the deployment's")
    parser.add_argument("--scoring-script", metavar="FILE", help="script with init() and run(), without a deployment")
    parser.add_argument("--code", metavar="DIR", help="folder of what the script imports (default: the script's own)")
    parser.add_argument(
        "--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="change a deployment's key"
    )
    parser.add_argument(
        "--env", choices=("auto", "inherit", "model"), default="auto", help="which Python scores (default: auto)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an output that exists")
    parser.add_argument(
        "--input-type", choices=("uri_folder", "uri_file"), help="what the input names (default: what is there)"
    )
    parser.add_argument("--job-name", metavar="NAME", help="name of the job (default: a new one)")
    parser.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> int:
    for text in options.set:
        if "=" not in text:
            raise Mistake(f"--set {text}: give KEY=VALUE (the deployment's file goes before --set)")
    return follow(
        lambda: api.run(
            options.deployment,
            input=options.input,
            output=options.output,
            model=options.model,
            scoring_script=options.scoring_script,
            code=options.code,
            overrides=options.set,
            input_type=options.input_type,
            env=options.env,
            overwrite=options.overwrite,
            job_name=options.job_name,
        ),
        options,
    )
