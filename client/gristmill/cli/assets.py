"""What `model`, `data` and `environment` have in common: names with versions and labels, archived or deleted."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gristmill.cli import reading, server
from gristmill.cli.confirming import confirmed
from gristmill.cli.service_options import (
    add_edits,
    add_file,
    add_name,
    add_no_wait,
    add_set,
    add_yes,
    edits_of,
    service_command,
)
from gristmill.cli.views import View, note, show, show_all
from gristmill.errors import Mistake


@dataclass(frozen=True, kw_only=True)
class Asset:
    """One kind of asset."""

    #: The group's word, which is the kind's for `reading` too.
    word: str
    #: The kind's name in a sentence, with its article.
    a: str
    #: The client's operations on it.
    operations: str
    view: View
    #: Lines for the help of each command, by its word.
    examples: Mapping[str, str]
    #: Options of create that become keys of the document.
    keys: tuple[str, ...]
    #: Options of update that do.
    flags: tuple[str, ...] = ("description",)

    @property
    def noun(self) -> str:
        """The kind's name in a sentence."""
        return self.a.partition(" ")[2]

    def of(self, client: Any) -> Any:
        """Return the operations on it."""
        return getattr(client, self.operations)

    def add(self, below: Any) -> argparse.ArgumentParser:
        """Add its commands; return that of create, for the options that are its own."""
        create = service_command(
            below,
            "create",
            self._create,
            summary=f"register {self.a}: the version given, else the next",
            example=self.examples["create"],
        )
        add_file(create, self.noun)
        add_name(create, f"{self.noun}; it wins over the file's", required=False)
        create.add_argument("-v", "--version", metavar="VERSION", help="version (default: the next number)")
        add_set(create)
        add_no_wait(create)
        self._add_list(below)
        example = self.examples["show"]
        self._add_one(service_command(below, "show", self._show, summary=f"show {self.a}", example=example))
        text = "leave it out of lists; what names it still finds it"
        for word, what in (("archive", text), ("restore", "put it back into lists")):
            example = self.examples["show"].replace(" show ", f" {word} ").splitlines()[0] + "\n"
            self._add_one(service_command(below, word, self._file_away(word), summary=what, example=example))
        self._add_delete(below)
        example = self.examples["update"]
        update = service_command(below, "update", self._update, summary=f"change {self.a}", example=example)
        self._add_one(update)
        for key in self.flags:
            update.add_argument(f"--{key}", metavar="TEXT", help=f"set `{key}`")
        add_edits(update)
        add_no_wait(update)
        return create

    def _add_list(self, below: Any) -> None:
        text = f"list the latest of each {self.noun}, or the versions of one"
        listing = service_command(below, "list", self._list, summary=text, example=self.examples["list"])
        add_name(listing, f"{self.noun} whose versions are listed", required=False)
        listing.add_argument("-r", "--max-results", type=int, metavar="N", help="list at most so many")
        listing.add_argument("--archived-only", action="store_true", help="list those that are archived")
        listing.add_argument("--include-archived", action="store_true", help="list those that are archived as well")

    def _add_delete(self, below: Any) -> None:
        example = f"  gristmill {self.word} delete -n digits -v 1 --yes\n"
        text = "delete a version; its number is not given again"
        delete = service_command(below, "delete", self._delete, summary=text, example=example)
        add_name(delete, self.noun)
        delete.add_argument("-v", "--version", metavar="VERSION", required=True, help="its version")
        add_yes(delete)

    def _add_one(self, parser: argparse.ArgumentParser) -> None:
        add_name(parser, self.noun)
        which = parser.add_mutually_exclusive_group()
        which.add_argument("-v", "--version", metavar="VERSION", help="its version")
        which.add_argument("-l", "--label", metavar="LABEL", help="instead of the version: latest")

    def _create(self, options: argparse.Namespace) -> int:
        flags = {key: getattr(options, key) for key in ("name", "version", *self.keys)}
        document = reading.read(self.word, options.file, flags, options.set)
        return show(self.of(server.connect()).create_or_update(document), options, self.view)

    def _list(self, options: argparse.Namespace) -> int:
        found = self.of(server.connect()).list(name=options.name, archived=which(options))
        return show_all(itertools.islice(found, options.max_results), options, self.view)

    def _show(self, options: argparse.Namespace) -> int:
        return show(self._one(server.connect(), options), options, self.view)

    def _update(self, options: argparse.Namespace) -> int:
        edits = edits_of(options)
        given = {key: getattr(options, key) for key in self.flags if getattr(options, key) is not None}
        if not (edits or given):
            raise Mistake(f"{self.word} update: say what changes: --set, --add or --remove")
        client = server.connect()
        changed = reading.changed(self._one(client, options), given, edits)
        return show(self.of(client).create_or_update(changed), options, self.view)

    def _file_away(self, word: str) -> Any:
        def run(options: argparse.Namespace) -> int:
            getattr(self.of(server.connect()), word)(options.name, version=options.version, label=options.label)
            which = options.version or options.label or "every version"
            note(f"{self.noun} {options.name} ({which}): {word}d", options)
            return 0

        return run

    def _delete(self, options: argparse.Namespace) -> int:
        what = f"{self.noun} {options.name}:{options.version}"
        if confirmed(what, yes=options.yes):
            self.of(server.connect()).delete(options.name, options.version)
            note(f"{what} is deleted", options)
        return 0

    def _one(self, client: Any, options: argparse.Namespace) -> Any:
        label = options.label or (None if options.version else "latest")
        return self.of(client).get(options.name, version=options.version, label=label)


def which(options: argparse.Namespace) -> str:
    """Return which of the archived things a list shows, in the server's words."""
    if options.archived_only and options.include_archived:
        raise Mistake("--archived-only and --include-archived: give one of them")
    if options.archived_only:
        return "only"
    return "include" if options.include_archived else "exclude"
