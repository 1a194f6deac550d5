"""Hosts with names and addresses of their own on one machine: namespaces on a bridge, whose cables can be pulled.

Nothing is made in the machine's own network: the bridge is in a namespace, too, and all of it goes with the processes
that hold it. Who is not root makes a user namespace first, where the machine allows that.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from functools import cache
from typing import Final

#: The first three numbers of all addresses.
NETWORK: Final = "10.77.0"

_BRIDGE: Final = "lan"


class Lan:
    """A bridge, and hosts that are joined to it."""

    def __init__(self, stack: ExitStack) -> None:
        """Make the bridge, for as long as the stack is open."""
        self._stack = stack
        self._users = () if os.geteuid() == 0 else ("--user", "--map-root-user")
        self._switch = self._hold(["unshare", *self._users, "--net"], "true")
        self._hosts: dict[str, tuple[int, int]] = {}
        self._ip(self._switch, "link", "add", _BRIDGE, "type", "bridge")
        self._ip(self._switch, "link", "set", _BRIDGE, "up")

    def join(self, name: str, number: int) -> None:
        """Make a host of that name, which is its machine's name, with an address that ends in a number."""
        host = self._hold([*self._enter(self._switch), "unshare", "--net", "--uts"], f"hostname {name}")
        self._hosts[name] = host, number
        cable = f"to{number}"
        self._ip(self._switch, "link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", str(host))
        self._ip(self._switch, "link", "set", cable, "master", _BRIDGE, "up")
        self._ip(host, "addr", "add", f"{self.address(name)}/24", "dev", "eth0")
        for interface in ("lo", "eth0"):
            self._ip(host, "link", "set", interface, "up")

    def address(self, name: str) -> str:
        """Return a host's address."""
        return f"{NETWORK}.{self._hosts[name][1]}"

    def at(self, name: str, command: Sequence[str]) -> list[str]:
        """Return a command so that it runs on a host, as the same process."""
        return [*self._enter(self._hosts[name][0]), *command]

    def pull(self, name: str) -> None:
        """Pull a host's cable: what it sends is gone, and nobody is told."""
        self._ip(self._switch, "link", "set", f"to{self._hosts[name][1]}", "down")

    def plug(self, name: str) -> None:
        """Put the cable back."""
        self._ip(self._switch, "link", "set", f"to{self._hosts[name][1]}", "up")

    def _hold(self, enter: Sequence[str], begin: str) -> int:
        """Return a process that holds namespaces until its stdin ends."""
        holder = subprocess.Popen(
            [*enter, "sh", "-c", f"{begin} && echo held && exec cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._stack.callback(holder.communicate)
        assert holder.stdout is not None
        if holder.stdout.readline() != b"held\n":
            raise OSError(f"{' '.join(enter)}: namespaces cannot be made")
        return holder.pid

    def _enter(self, holder: int) -> list[str]:
        users = ("--user", "--preserve-credentials") if self._users else ()
        return ["nsenter", "--target", str(holder), *users, "--net", "--uts", "--"]

    def _ip(self, holder: int, *arguments: str) -> None:
        subprocess.run([*self._enter(holder), "ip", *arguments], check=True, capture_output=True, timeout=30)


@cache
def unavailable() -> str:
    """Return why hosts cannot be made here; "" when they can."""
    for program in ("ip", "unshare", "nsenter"):
        if shutil.which(program) is None:
            return f"the command {program} is not installed (iproute2, util-linux)"
    try:
        with ExitStack() as stack:
            Lan(stack).join("trial", 9)
    except subprocess.CalledProcessError as error:
        return f"{' '.join(error.cmd)}: {error.stderr.decode().strip()}"
    except OSError as error:
        return str(error)
    return ""
