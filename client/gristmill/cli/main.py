"""The door of the command line: arguments in, exit code out, and every error one line on stderr."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import traceback
from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import Any, Final, NoReturn

import gristmill
from gristmill import log_lines
from gristmill.errors import GristmillError
from gristmill.settings import ProcessSettings

EXIT_CODES: Final = """\
exit codes:
  0    done
  1    an environment could not be built, or Gristmill itself failed
  2    something given cannot be used; nothing was started
  3    the job ran and failed, or the server has nothing of the name given
  4    a store or the ledger's server failed
  130  cancelled, or Ctrl-C
  143  ended by SIGTERM
"""

EXAMPLES: Final = """\
examples:
  gristmill run deployment.yml --input images/ --output scores/
  gristmill run --model model/ --input images/ --output scores.csv
  gristmill up
  gristmill status
  gristmill job show scores/
  gristmill job resume scores/
  GRISTMILL_REDIS_URL=redis://host:6379 gristmill node --compute gpu --slots 2
  gristmill model create -n digits --type custom_model --path model/
  gristmill data create -n digits --type uri_folder --path images/
  gristmill environment list -o table
  gristmill datastore list -o table
  gristmill compute create -n batch-cluster --max-instances 5
  gristmill batch-endpoint create -n mnist
  gristmill batch-deployment create -f deployment.yml -e mnist --set-default
  gristmill batch-endpoint invoke -n mnist --input images/ --query name -o tsv
  gristmill job stream -n digits-1
  gristmill job download -n digits-1 --output-name score
  gristmill endpoint list --type batch
  gristmill account get-access-token --query accessToken -o tsv
  gristmill configure --defaults workspace=main
  gristmill token create -n nightly --role invoker --endpoint mnist
  gristmill login https://gristmill.example.com
  gristmill logout
  gristmill version
  gristmill down
"""

#: Commands whose module is imported alone when they are what is asked for: a job is not to wait for all the others.
_ALONE: Final = frozenset({"run", "node"})

#: What a shell reports of a program that nobody listens to any more.
_BROKEN_PIPE: Final = 141


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors look like all others."""

    def error(self, message: str) -> NoReturn:
        """Write one line and leave with 2."""
        self.exit(2, f"error: {message} (see {self.prog} --help)\n")

    def parse_known_args(self, args: Iterable[str] | None = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """Refuse what is not known here, so that the line names the command's own help and not the root's."""
        options, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return options, unknown


def parser(alone: str = "") -> Parser:
    """Return the whole command line, or with one command `alone`.

    Options may be shortened to a prefix that no other has: `--out`, `--e`.
    """
    root = Parser(
        prog="gristmill",
        description=(gristmill.__doc__ or "").partition("\n")[0],
        epilog=f"{EXAMPLES}\n{EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    root.add_argument("--version", action="version", version=f"gristmill {gristmill.__version__}")
    commands = root.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in [import_module(f"gristmill.cli.{alone}")] if alone else import_module("gristmill.cli.commands").ALL:
        command.add(commands)
    return root


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code."""
    options = _options(sys.argv[1:] if arguments is None else arguments)
    try:
        log_lines.begin("gristmill", ProcessSettings.read(), level=logging.WARNING)
        code: int = options.command(options)
        sys.stdout.flush()
    except GristmillError as error:
        return _fail(error, debug=options.debug)
    except BrokenPipeError:
        # The interpreter would complain once more when it flushes at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _BROKEN_PIPE
    except KeyboardInterrupt:
        sys.stderr.write("error: interrupted\n")
        return 130
    except Exception as error:  # noqa: BLE001 - a fault of ours is one line too, and --debug tells where
        return _fail(error, debug=options.debug)
    return code


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    if arguments and arguments[0] in _ALONE:
        return parser(arguments[0]).parse_args(arguments)
    commands = import_module("gristmill.cli.commands")
    options = parser().parse_args(commands.configure.restored(arguments))
    import_module("gristmill.cli.server").quiet.set(getattr(options, "only_show_errors", False))
    return options


def _fail(error: Exception, *, debug: bool) -> int:
    if debug:
        traceback.print_exception(error)
    if isinstance(error, GristmillError):
        detail = f"{error.detail.rstrip()}\n" if error.detail else ""
        sys.stderr.write(f"{detail}error: {error.message}\n")
        return error.exit_code
    hint = "" if debug else " (--debug shows where)"
    sys.stderr.write(f"error: unexpected {type(error).__name__}: {error}{hint}\n")
    return 1
