"""Machines with addresses of their own, on one machine: network namespaces around a router that can drop packets.

Every member is a namespace with one interface, and every packet between two members passes the router, where a rule
may send it into a black hole: nobody is told, neither side sees a reset, which is what a real partition looks like.
Nothing is made outside the namespaces, so worlds side by side cannot meet; a world that was killed leaves only
namespaces whose names hold its process id, and the next one removes them.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Final, Protocol

#: What the names of all namespaces begin with, followed by the process that made them.
PREFIX: Final = "gmc"

#: The member that all others are joined to.
ROUTER: Final = "router"

_CLONE_NEWNET: Final = 0x40000000
_OWN_NAMES: Final = re.compile(rf"{PREFIX}-(\d+)-\S+")
_NUMBERS = count(1)


class Network(Protocol):
    """What a world asks of its network."""

    def address(self, member: str) -> str:
        """Return a member's address."""

    def command(self, member: str, command: Sequence[str]) -> list[str]:
        """Return a command so that it runs at a member."""

    def cut(self, one: str, other: str) -> None:
        """Drop every packet between two members, both ways, without a word."""

    def heal(self, one: str, other: str) -> None:
        """Let packets pass again."""

    def inside(self, member: str) -> contextlib.AbstractContextManager[None]:
        """Let the connections that this thread makes begin at a member."""

    def close(self) -> None:
        """End every process at every member, and remove the members."""


class Loopback:
    """No network of its own: where namespaces cannot be made, all share this machine's loopback address."""

    def address(self, member: str) -> str:
        """Return the loopback address."""
        return "127.0.0.1"

    def command(self, member: str, command: Sequence[str]) -> list[str]:
        """Return the command as it is."""
        return list(command)

    def cut(self, one: str, other: str) -> None:
        """Refuse: there is nothing to cut."""
        raise NotImplementedError("partitions need network namespaces")

    def heal(self, one: str, other: str) -> None:
        """Do nothing."""

    def inside(self, member: str) -> contextlib.AbstractContextManager[None]:
        """Change nothing."""
        return contextlib.nullcontext()

    def close(self) -> None:
        """Do nothing."""


class Namespaces:
    """A router and members, each a namespace; member n has the address 10.87.n.2."""

    def __init__(self, members: Sequence[str]) -> None:
        """Make the namespaces and join them."""
        sweep()
        self._name = f"{PREFIX}-{os.getpid()}-{next(_NUMBERS)}"
        self._members = list(members)
        try:
            self._add(ROUTER)
            _ip("netns", "exec", self._of(ROUTER), "sysctl", "-qw", "net.ipv4.ip_forward=1")
            for member in self._members:
                self._join(member)
        except BaseException:
            self.close()
            raise

    def _of(self, member: str) -> str:
        return f"{self._name}-{member}"

    def _add(self, member: str) -> None:
        _ip("netns", "add", self._of(member))
        _ip("-n", self._of(member), "link", "set", "lo", "up")

    def _join(self, member: str) -> None:
        """Make a member and give it a cable to the router."""
        self._add(member)
        here, router, number = self._of(member), self._of(ROUTER), self._number(member)
        _ip("-n", here, "link", "add", "eth0", "type", "veth", "peer", "name", f"to{number}", "netns", router)
        for namespace, interface, last in ((here, "eth0", 2), (router, f"to{number}", 1)):
            _ip("-n", namespace, "addr", "add", f"10.87.{number}.{last}/24", "dev", interface)
            _ip("-n", namespace, "link", "set", "dev", interface, "up")
        _ip("-n", here, "route", "add", "default", "via", f"10.87.{number}.1")

    def _number(self, member: str) -> int:
        return self._members.index(member) + 1

    def address(self, member: str) -> str:
        """Return a member's address."""
        return f"10.87.{self._number(member)}.2"

    def command(self, member: str, command: Sequence[str]) -> list[str]:
        """Return a command so that it runs at a member, as the same process."""
        return ["ip", "netns", "exec", self._of(member), *command]

    def cut(self, one: str, other: str) -> None:
        """Drop every packet between two members, both ways, without a word."""
        for source, target in ((one, other), (other, one)):
            self._rule("add", source, target)

    def heal(self, one: str, other: str) -> None:
        """Let packets pass again."""
        for source, target in ((one, other), (other, one)):
            self._rule("del", source, target)

    def _rule(self, act: str, source: str, target: str) -> None:
        pair = ("from", self.address(source), "to", self.address(target))
        _ip("-n", self._of(ROUTER), "rule", act, *pair, "blackhole")

    @contextlib.contextmanager
    def inside(self, member: str) -> Iterator[None]:
        """Let the connections that this thread makes begin at a member; they stay there afterwards."""
        with _home().open() as home, Path(f"/run/netns/{self._of(member)}").open() as target:
            _enter(target.fileno())
            try:
                yield
            finally:
                _enter(home.fileno())

    def close(self) -> None:
        """End every process at every member, and remove the members."""
        for member in (*self._members, ROUTER):
            _remove(self._of(member))


def unavailable() -> str:
    """Return why namespaces cannot be made here; "" when they can."""
    if shutil.which("ip") is None:
        return "iproute2 (the command ip) is not installed"
    if os.geteuid() != 0:
        return "making network namespaces needs root"
    try:
        trial = Namespaces(["one", "two"])
    except subprocess.CalledProcessError as error:
        return f"{' '.join(error.cmd)}: {error.stderr.strip()}"
    try:
        trial.cut("one", "two")
    except subprocess.CalledProcessError as error:
        return f"packets cannot be dropped: {error.stderr.strip()}"
    finally:
        trial.close()
    return ""


def sweep() -> None:
    """Remove the namespaces of worlds whose process is gone, with everything that runs in them."""
    for line in _ip("netns", "list").splitlines():
        found = _OWN_NAMES.match(line)
        if found and not Path(f"/proc/{found[1]}").exists():
            _remove(found[0])


def _remove(namespace: str) -> None:
    """End what runs in a namespace and delete it; one that is not there is fine."""
    with contextlib.suppress(subprocess.CalledProcessError):
        deadline = time.monotonic() + 5
        while (pids := _ip("netns", "pids", namespace).split()) and time.monotonic() < deadline:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            time.sleep(0.05)
        _ip("netns", "del", namespace)


def _home() -> Path:
    return Path(f"/proc/self/task/{threading.get_native_id()}/ns/net")


def _enter(descriptor: int) -> None:
    """Put this thread, and no other, into a network namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def _ip(*arguments: str) -> str:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=True, timeout=30)
    return done.stdout
