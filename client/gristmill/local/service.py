"""The daemon of `gristmill up`: an embedded server, a scheduler with its HTTP API and a node, kept as long as wanted.

What dies is started again. SIGTERM ends all of it in order; and when this process is killed, the others see that and
end by themselves.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import select
import signal
import socket
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any, Final

from gristmill.certificates import first_of
from gristmill.errors import GristmillError, Mistake
from gristmill.local import logs, probe
from gristmill.local.child import Child
from gristmill.local.family import Family, for_good
from gristmill.local.programs import NODE
from gristmill.local.programs import SERVICE as SCHEDULER
from gristmill.local.restarts import end_in_words
from gristmill.local.run_folder import RunFolder
from gristmill.local.runtime import Runtime
from gristmill.local.service_wish import COMPUTE, PORT, Wish, environment_of, models_of
from gristmill.settings import ProcessSettings

#: Seconds until everything answers.
START_SECONDS: Final = 30.0

#: Seconds that the node and the scheduler have to leave, and then the server, which writes its file.
LEAVE_SECONDS: Final = 6.5
SAVE_SECONDS: Final = 2.0

#: In front of a compute's name, of the node that was started since jobs wait for it.
_NODE_OF: Final = "node-"

#: Seconds without work after which such a node leaves: as many as Azure's computes wait.
IDLE_SECONDS: Final = 120

#: Seconds until a child that ends again and again is started once more.
_RETRY_SECONDS: Final = 10.0

#: Hosts that stand for every address of this machine.
_ANY: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 - what the user may ask for

_LOOK_SECONDS: Final = 0.2
_LOGS_SECONDS: Final = 10.0

log = logging.getLogger("gristmill.up")


class _Home:
    """Where the children's files are."""

    def __init__(self, run: RunFolder, runtime: Runtime, children: int) -> None:
        self.runtime = runtime
        self.logs = run.folder
        self.state = run.memory
        self.locks = (*runtime.locks, children)


class Service:
    """The daemon's life. Its thread must be the process's main one: signals are taken here."""

    def __init__(self, wish: Wish, *, settings: ProcessSettings, tell: Callable[[Mapping[str, Any]], None]) -> None:
        """Take what is wanted, the process's settings, and who is told once whether everything answers."""
        self._wish = wish
        self._settings = settings
        self._tell = tell
        self._run = RunFolder(wish.workspace)
        self._ending = False
        self._kill: Callable[[], None] = lambda: None
        self._url = ""
        self._heard = b""
        #: When a child that ended too often may be started again.
        self._due: dict[str, float] = {}

    def run(self, lock: int) -> int:
        """Start everything, keep it until SIGTERM or SIGINT, end it; return the exit code.

        `lock` is the descriptor that holds the folder's lock.
        """
        os.pwrite(lock, str(os.getpid()).encode(), 0)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._leave)
        deadline = time.monotonic() + START_SECONDS
        try:
            children = self._wait_for_children(deadline)
            self._port = self._choose_port()
        except GristmillError as error:
            self._tell({"event": "failed", "error": error.to_json()})
            return error.exit_code
        runtime = Runtime(self._settings.scratch)
        self._family = Family(
            _Home(self._run, runtime, children),
            redis_url=self._settings.redis_url,
            environment=environment_of(self._settings, self._wish.workspace),
        )
        self._kill = self._family.kill
        try:
            return self._keep(deadline)
        finally:
            self._end()
            runtime.close()

    def _keep(self, deadline: float) -> int:
        try:
            for name in ("scheduler", "node", *(["server"] if self._family.embedded else [])):
                self._begin(name)
            if not self._wait_until_ready(deadline):
                return 0
        except GristmillError as error:
            log.error("%s", error)  # noqa: TRY400 - its one line says it
            self._tell({"event": "failed", "error": error.to_json()})
            return error.exit_code
        document = self._document()
        self._run.publish(document)
        self._tell({"event": "ready", **document})
        log.info("everything answers at %s", self._url)
        looked = time.monotonic()
        while not self._ending:
            self._look()
            if time.monotonic() - looked > _LOGS_SECONDS:
                logs.cut(self._run.folder)
                logs.cut(self._run.memory)
                looked = time.monotonic()
        return 0

    def _document(self) -> dict[str, Any]:
        return {
            "url": self._wish.public_url or self._url,
            "near": self._near(),
            **({"certificate": str(self._run.certificate)} if self._wish.tls_cert else {}),
            "pid": os.getpid(),
            "token_file": str(self._run.token),
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "workspace": str(self._wish.workspace),
            "compute": COMPUTE,
            "slots": self._wish.slots,
            "models": models_of(self._settings, self._wish.workspace),
        }

    def _leave(self, _number: int, _frame: FrameType | None) -> None:
        if self._ending:
            # Asked twice: at once.
            self._kill()
        self._ending = True

    def _wait_for_children(self, deadline: float) -> int:
        """Lock what the children inherit, when those of a daemon that was killed are gone."""
        while (lock := self._run.claim_for_children()) is None:
            if time.monotonic() > deadline or self._ending:
                raise GristmillError(
                    f"--workspace {self._wish.workspace}: processes of an earlier `gristmill up` do not end; end those "
                    f"that have {self._run.children} open, or give another workspace"
                )
            time.sleep(_LOOK_SECONDS)
        return lock

    def _choose_port(self) -> int:
        """Return the port to listen on; 0: any."""
        wanted = PORT if self._wish.port is None else self._wish.port
        family = socket.AF_INET6 if ":" in self._wish.host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probed:
            probed.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probed.bind((self._wish.host, wanted))
            except OSError as error:
                if self._wish.port is None and error.errno == errno.EADDRINUSE:
                    return 0
                where = f"--host {self._wish.host} --port {wanted}"
                raise Mistake(f"{where}: cannot be listened on: {error.strerror}; give another") from None
        return wanted

    def _begin(self, name: str) -> None:
        match name:
            case "scheduler":
                self._heard = b""
                self._keep_certificate()
                self._family.begin(name, (*SCHEDULER, *self._arguments()), piped=True)
            case "node":
                self._family.begin(name, self._node(COMPUTE))
            case _ if name.startswith(_NODE_OF):
                idle = ("--leave-when-idle", str(IDLE_SECONDS))
                self._family.begin(name, (*self._node(name.removeprefix(_NODE_OF)), *idle))
            case _:
                self._family.begin_server()

    def _node(self, compute: str) -> tuple[str, ...]:
        return (*NODE, "--compute", compute, "--slots", str(self._wish.slots), "--owned")

    def _arguments(self) -> list[str]:
        return self._wish.scheduler_arguments(port=self._port, token_file=self._run.token)

    def _keep_certificate(self) -> None:
        """Keep what the scheduler is about to show: a certificate may have been renewed since the last one began."""
        if self._wish.tls_cert:
            self._run.certificate.write_text(first_of(Path(self._wish.tls_cert)), "ascii")

    def _wait_until_ready(self, deadline: float) -> bool:
        """Return whether everything answers; False when it is to end before.

        Raises:
            GristmillError: a child ended for good, or something does not answer in time.

        """
        while not self._answers():
            if self._ending:
                return False
            if time.monotonic() > deadline:
                raise self._silence()
            self._look(patient=False)
        return True

    def _answers(self) -> bool:
        if not self._url:
            return False
        status = self._ask("/status", token=self._run.read_token())
        nodes = (status or {}).get("nodes") or []
        node = self._family.get("node")
        return any(node is not None and each.get("pid") == node.pid for each in nodes)

    def _near(self) -> str:
        """Return the server's address for this machine, whose own name may lead nowhere."""
        scheme = "https" if self._wish.tls_cert else "http"
        return f"{scheme}://127.0.0.1:{self._port}" if self._wish.host in _ANY else self._url

    def _ask(self, path: str, *, token: str = "") -> dict[str, Any] | None:
        return probe.ask(self._near(), path, token=token, certificate=self._run.certificate)

    def _silence(self) -> GristmillError:
        name = "node" if self._url and self._ask("/health") else "scheduler"
        child = self._family.get(name)
        tail = child.tail() if child is not None else ""
        message = f"the {name} does not answer within {START_SECONDS:g} s; see {self._run.folder / f'{name}.log'}"
        return GristmillError(message, detail=tail)

    def _look(self, *, patient: bool = True) -> None:
        """Listen to the scheduler for a moment, and start again what has ended.

        Raises:
            GristmillError: a child ended for good; not with `patient`.

        """
        self._listen()
        for child in self._family.but(""):
            if child.exit_code is None or self._ending:
                continue
            extra = child.name.startswith(_NODE_OF)
            if extra and child.exit_code == 0:
                log.info("the %s left: nothing waits for it", child.name)
                self._family.drop(child)
            elif self._due.get(child.name, 0) <= time.monotonic():
                self._replace(child, patient=patient or extra)

    def _replace(self, child: Child, *, patient: bool) -> None:
        if child.name not in self._due:
            child.reap(time.monotonic())
            log.warning("the %s ended (%s)", child.name, end_in_words(child.exit_code))
            if not self._family.is_worth_it(child):
                if not patient:
                    raise for_good(child)
                log.error("the %s ends again and again: next try in %g s", child.name, _RETRY_SECONDS)
                self._due[child.name] = time.monotonic() + _RETRY_SECONDS
                return
        self._due.pop(child.name, None)
        self._begin(child.name)
        log.info("the %s was started again", child.name)

    def _listen(self) -> None:
        scheduler = self._family.get("scheduler")
        if scheduler is None or scheduler.exit_code is not None:
            time.sleep(_LOOK_SECONDS)
            return
        if not select.select([scheduler.stdout], [], [], _LOOK_SECONDS)[0]:
            return
        data = os.read(scheduler.stdout.fileno(), 65536)
        if not data:
            time.sleep(_LOOK_SECONDS)
        *lines, self._heard = (self._heard + data).split(b"\n")
        for line in filter(None, lines):
            self._hear(line)

    def _hear(self, line: bytes) -> None:
        try:
            event = json.loads(line)
        except ValueError:
            log.warning("the scheduler says: %r", line[:200])
            return
        if event.get("event") == "listening":
            self._url = str(event["url"])
            # One that takes its place is to be found where it was.
            self._port = int(self._url.rstrip("/").rpartition(":")[2])
        elif event.get("event") == "unserved" and self._family.embedded and not self._ending:
            self._serve(str(event["compute"]))

    def _serve(self, compute: str) -> None:
        """Serve a compute that jobs wait for: where the server is this machine's own, nobody else can."""
        name = f"{_NODE_OF}{compute}"
        if compute != COMPUTE and self._family.get(name) is None:
            log.info("jobs wait for %s: a node is started", compute)
            self._begin(name)

    def _end(self) -> None:
        self._ending = True
        self._run.withdraw()
        deadline = time.monotonic() + LEAVE_SECONDS
        workers = self._family.but("server")
        for child in workers:
            child.terminate()
        for child in workers:
            child.wait(deadline)
            child.reap(time.monotonic() + 0.1)
        server = self._family.get("server")
        if server is not None:
            server.terminate()
            server.reap(time.monotonic() + SAVE_SECONDS)
        log.info("everything has ended")
