"""The ledger over a real server: the contract of the unit tests once more, and what only a server can show."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from gristmill import versions
from gristmill.errors import Fenced, GristmillError, LedgerFailed, LedgerLost, OtherVersion
from gristmill_storage.ledger import Entry, Lease, Ledger, Measures, MemoryLedger, Over, connection, wire
from gristmill_storage.ledger.scripts import Scripts
from gristmill_storage.server import command, url_of, wait_until_ready

redis = pytest.importorskip("redis")

_CONTRACT = Path(__file__).parents[1] / "unit" / "storage"
sys.path.insert(0, str(_CONTRACT))
try:
    contract = importlib.import_module("test_ledger_contract")
finally:
    sys.path.remove(str(_CONTRACT))
globals().update({name: thing for name, thing in vars(contract).items() if name.startswith("test_")})

JOB, LEASE = contract.JOB, contract.LEASE
entry, whole, take, commit, score_all = (
    contract.entry,
    contract.whole,
    contract.take,
    contract.commit,
    contract.score_all,
)

#: A clock that the test sets: milliseconds under a key that is not the ledger's.
CLOCK = "local function read_clock() return tonumber(redis.call('GET', 'test-clock')) end"
EPOCH_MS = 1_795_000_000_000


@pytest.fixture
def client(redis_url: str) -> Iterator[Any]:
    client = redis.Redis.from_url(redis_url, decode_responses=True, protocol=2)
    yield client
    client.close()


@pytest.fixture
def real(redis_url: str) -> Iterator[Ledger]:
    """A ledger by the server's own clock."""
    ledger = Ledger(redis_url)
    yield ledger
    ledger.disconnect()


def set_clock(ledger: Ledger, client: Any) -> None:
    ledger._scripts = Scripts(CLOCK)
    client.set("test-clock", EPOCH_MS)


@pytest.fixture
def world(real: Ledger, client: Any) -> Any:
    set_clock(real, client)
    return contract.World(real, lambda seconds: client.incrby("test-clock", round(seconds * 1000)))


# Keys


def test_every_key_has_a_time_to_live_at_every_step(world: Any, client: Any) -> None:
    def lives() -> dict[str, int]:
        return {key.rpartition(":")[2]: client.ttl(key) for key in client.scan_iter("gristmill:*")}

    ledger = world.begin(100)
    world.join("a", "b")
    lease = take(ledger)
    ledger.fail(JOB, instance="a", token=lease.token, mini_batch=0, category="crash", delay=1)
    commit(ledger, "p", entry(1, 3, lease.token))
    found = lives()
    assert set(found) == {"job", "chunks", "returned", "instances", "info", "a", "done", "parts", "tallies", "bell"}
    assert all(29 * 86400 < life <= 30 * 86400 for life in found.values()), found
    world.jump(1)
    commit(ledger, "q", whole(take(ledger, limit=1)))
    take(ledger, limit=90)
    for number in (4, 5):
        assert contract.copy(ledger).first == number
    commit(ledger, "r", entry(4, 4, lease.token))
    ledger.pause(JOB, paused=True)
    ledger.announce("other", folder="/data")
    found = lives()
    assert {"doubles", "outrun", "b", "jobs"} < set(found)
    assert all(29 * 86400 < life <= 30 * 86400 for life in found.values()), found
    for key in client.scan_iter("gristmill:*"):
        client.expire(key, 3600 * 24 * 20)
    ledger.lead(JOB, leader="x", seconds=7)
    ledger.renew(JOB, instance="b", info={})
    ledger.announce(JOB, folder="/data")
    found = lives()
    assert 0 < found.pop("leader") <= 7
    assert all(life > 29 * 86400 for life in found.values()), "a renewal puts the end off"
    ledger.close(JOB, status="Failed")
    ledger.snapshot(JOB)
    ledger.leave(JOB, instance="b")
    found = lives()
    assert 0 < found.pop("leader") <= 7
    assert found.pop("jobs") > 29 * 86400, "others run on"
    assert all(0 < life <= 3600 for life in found.values()), found


def test_the_nodes_end_with_the_one_that_is_seen_longest(world: Any, client: Any) -> None:
    world.ledger.see_node("a", {}, 15)
    world.ledger.see_node("b", {}, 3)
    assert 14 <= client.ttl("gristmill:nodes") <= 15
    world.ledger.see_node("c", {}, 60)
    assert 59 <= client.ttl("gristmill:nodes") <= 60
    for name in "abc":
        world.ledger.leave_node(name)
    assert list(client.scan_iter("gristmill:*")) == []


def test_by_the_servers_own_clock_a_leader_that_fell_silent_is_followed(real: Ledger, client: Any) -> None:
    assert real.lead(JOB, leader="x", seconds=0.4)
    assert not real.lead(JOB, leader="y", seconds=5)
    deadline = time.monotonic() + 10
    while not real.lead(JOB, leader="y", seconds=5):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    real.unlead(JOB, leader="y")
    assert list(client.scan_iter("gristmill:*")) == []


@pytest.mark.parametrize("end", [lambda it: it.close(JOB, status="Failed"), lambda it: it.forget(JOB)])
def test_a_job_that_could_not_be_withdrawn_is_withdrawn_by_the_next_call(world: Any, client: Any, end: Any) -> None:
    ledger = world.begin(10)
    ledger.announce(JOB, folder="/data")
    client.execute_command("ACL", "SETUSER", "default", "-hdel")
    try:
        with pytest.raises(LedgerFailed, match="refused"):
            end(ledger)
        assert ledger.announced() == {JOB: "/data"}
    finally:
        client.execute_command("ACL", "SETUSER", "default", "+hdel")
    end(ledger)
    assert ledger.announced() == {}


def test_copies_that_ended_leave_only_who_was_outrun(world: Any, client: Any) -> None:
    ledger, original, copy = contract.copied(world)
    commit(ledger, "p", entry(0, 0, copy.token), instance="b")
    commit(ledger, "q", entry(1, 3, original.token))
    assert client.hgetall(f"gristmill:{{{JOB}}}:outrun") == {original.token: "0"}
    assert not [key for key in client.scan_iter("gristmill:*") if ":lease:" in key or key.endswith(":doubles")]
    assert client.hget(f"gristmill:{{{JOB}}}:job", "doubled") == "0"


def test_where_nothing_is_copied_no_script_looks_for_copies(world: Any, client: Any) -> None:
    ledger = world.begin(100)
    world.join("a")
    client.config_resetstat()
    score_all(ledger)
    calls = client.info("commandstats")["cmdstat_zrangebyscore"]["calls"]
    assert calls == 2 * 15, "each lease looks for the silent and for what was returned, a commit for nothing"


def test_opening_a_million_mini_batches_is_one_small_write(real: Ledger, client: Any) -> None:
    real.open(JOB, epoch="e1", lease_seconds=LEASE, error_threshold=-1)
    real.extend(JOB, first=0, count=1_000_000, items=10_000_000, size=10**12, closed=True)
    assert sum(client.memory_usage(key) for key in client.scan_iter("gristmill:*")) < 2048


def test_a_million_done_mini_batches_take_a_bit_each(real: Ledger, client: Any) -> None:
    real.open(JOB, epoch="e1", lease_seconds=LEASE, error_threshold=-1)
    real.extend(JOB, first=0, count=1_000_000, items=1_000_000, size=1, closed=True)
    real.register(JOB, instance="a", info={})
    for number in range(100):
        lease = take(real, limit=10_000)
        assert commit(real, f"e1-{number:06d}", whole(lease)).refused == []
    assert real.snapshot(JOB).state == "scored"
    assert client.bitcount(f"gristmill:{{{JOB}}}:done") == 1_000_000
    assert client.strlen(f"gristmill:{{{JOB}}}:done") == 125_000
    spent = sum(client.memory_usage(key) for key in client.scan_iter("gristmill:*"))
    assert spent < 2.2 * 125_000, "a string that grows is given twice its length"


def test_a_forgotten_job_leaves_no_key(world: Any, client: Any) -> None:
    ledger = world.begin(100)
    world.join("a")
    commit(ledger, "p", entry(1, 3, take(ledger).token))
    ledger.forget(JOB)
    assert list(client.scan_iter("gristmill:*")) == []


def test_leases_that_ended_leave_nothing(world: Any, client: Any) -> None:
    ledger = world.begin(100)
    world.join("a")
    score_all(ledger)
    assert not [key for key in client.scan_iter("gristmill:*") if ":lease:" in key or key.endswith(":returned")]


def test_numbers_near_the_largest_stay_exact(real: Ledger) -> None:
    real.open(JOB, epoch="e1", lease_seconds=LEASE, error_threshold=-1)
    real.extend(JOB, first=0, count=3_000_000_000, items=2**53 - 1, size=2**53 - 1, closed=True)
    real.register(JOB, instance="a", info={})
    lease = take(real, limit=64)
    many = Entry(
        token=lease.token, first=0, last=63, items=2**52, succeeded=2**52, failed=0, rows=2**53 - 1, size=10**15 + 1
    )
    commit(real, "p", many)
    found = real.snapshot(JOB)
    assert (found.planned, found.items_planned, found.items_done) == (3_000_000_000, 2**53 - 1, 2**52)
    assert (found.rows, found.size, found.cursor) == (2**53 - 1, 10**15 + 1, 64)


# Time


def test_by_the_servers_own_clock_a_silent_instance_is_lost(real: Ledger) -> None:
    real.open(JOB, epoch="e1", lease_seconds=0.4, error_threshold=-1)
    real.extend(JOB, first=0, count=10, items=10, size=1, closed=True)
    for name in ("a", "b"):
        real.register(JOB, instance=name, info={})
    take(real, "a", 5)
    deadline = time.monotonic() + 10
    while real.snapshot(JOB).expiries == 0:
        assert time.monotonic() < deadline
        real.renew(JOB, instance="b", info={})
        real.wait(JOB, 0.1)
    assert take(real, "b", 10).losses == 1


# The server's faults


class Server:
    """A server of the test's own, to be stopped and started."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = folder / "s"
        self.url = url_of(self.socket)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(command(folder=self.folder, socket=self.socket), stdin=subprocess.DEVNULL)
        wait_until_ready(self.url, 10)

    def kill(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()


@pytest.fixture
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    import shutil
    import tempfile

    folder = Path(tempfile.mkdtemp(prefix="gm"))
    server = Server(folder)
    server.start()
    yield server
    server.kill()
    shutil.rmtree(folder)


def test_a_server_that_is_killed_and_comes_back_is_waited_for(own_server: Server) -> None:
    world = contract.World(Ledger(own_server.url, timeout=1, patience=20), time.sleep)
    ledger = world.begin(100)
    world.join("a")
    lease = take(ledger)
    own_server.kill()
    with ThreadPoolExecutor(1) as other:  # a server ends with the thread that started it: it is this one
        answer = other.submit(commit, ledger, "p", whole(lease))
        with pytest.raises(FutureTimeout):
            answer.result(0.5)
        own_server.start()
        assert answer.result(20).accepted == [(0, 9)]
    assert take(ledger).token == "e1-2"
    assert ledger.snapshot(JOB).done == 10
    ledger.disconnect()


def test_a_server_that_pauses_longer_than_the_timeout_is_waited_for(own_server: Server) -> None:
    import signal

    world = contract.World(Ledger(own_server.url, timeout=0.2, patience=20), time.sleep)
    ledger = world.begin(100)
    world.join("a")
    take(ledger)
    assert own_server.process
    own_server.process.send_signal(signal.SIGSTOP)
    later = threading.Timer(1.0, own_server.process.send_signal, [signal.SIGCONT])
    later.start()
    lease = take(ledger)
    later.join()
    assert (lease.first, lease.token) == (10, "e1-2"), "sent several times, leased once"
    assert ledger.snapshot(JOB).leased == 20
    ledger.disconnect()


def test_a_server_that_stays_away_is_given_up(tmp_path: Path) -> None:
    ledger = Ledger(f"unix://{tmp_path}/nothing?db=0", patience=0.3)
    with pytest.raises(LedgerFailed, match=r"nothing cannot be used since 0.3 s"):
        ledger.snapshot(JOB)
    started = time.monotonic()
    ledger.wait(JOB, 0.4)
    assert 0.3 < time.monotonic() - started < 5


def test_an_outage_is_told_once_with_its_reason_and_what_to_do_and_its_end_once(
    own_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_QUIET_SECONDS", 0.1)
    ledger, told = Ledger(own_server.url, timeout=1, patience=20), []
    ledger.tell_waits(told.append)
    ledger.lead(JOB, leader="me", seconds=5)
    assert told == []

    own_server.kill()
    with ThreadPoolExecutor(1) as other:
        answer = other.submit(ledger.lead, JOB, leader="me", seconds=5)
        with pytest.raises(FutureTimeout):
            answer.result(1.0)
        own_server.start()
        assert answer.result(20)

    assert len(told) == 2
    url = own_server.url.partition("?")[0]
    assert re.fullmatch(
        rf"waiting for the Redis server at {url}: .+; start it, or correct GRISTMILL_REDIS_URL", told[0]
    )
    assert told[1] == ""
    ledger.disconnect()


def test_the_password_is_in_no_message() -> None:
    ledger = Ledger("redis://user:secret@127.0.0.1:1/0?password=secret", patience=0.1)
    with pytest.raises(LedgerFailed, match=r"redis://127\.0\.0\.1:1/0 cannot be used") as caught:
        ledger.snapshot(JOB)
    assert "secret" not in str(caught.value)


def test_a_wrong_password_is_refused_at_once(client: Any, redis_url: str) -> None:
    client.config_set("requirepass", "right")
    try:
        ledger = Ledger(redis_url + "&password=wrong")
        started = time.monotonic()
        with pytest.raises(LedgerFailed, match="refused") as caught:
            ledger.snapshot(JOB)
        assert time.monotonic() - started < 5
        assert "wrong" not in str(caught.value).replace("WRONGPASS", "")
    finally:
        client.config_set("requirepass", "")


def test_an_address_that_is_none_names_the_ways() -> None:
    with pytest.raises(LedgerFailed, match="give redis://"):
        Ledger("amqp://here").snapshot(JOB)


def test_scripts_that_the_server_forgot_are_sent_again(world: Any, client: Any) -> None:
    ledger = world.begin(100)
    world.join("a")
    take(ledger)
    client.script_flush()
    assert take(ledger).first == 10
    before = client.info("commandstats").get("cmdstat_eval", {}).get("calls", 0)
    for _ in range(5):
        take(ledger)
    assert client.info("commandstats")["cmdstat_eval"]["calls"] == before, "sent once, called by digest"


def test_a_full_server_is_told_in_its_own_words(world: Any, client: Any) -> None:
    ledger = world.begin(100)
    client.config_set("maxmemory", "1")
    try:
        with pytest.raises(LedgerFailed, match=r"refused: .*maxmemory"):
            ledger.register(JOB, instance="a", info={})
    finally:
        client.config_set("maxmemory", "0")


def test_a_server_that_became_a_replica_is_waited_for(own_server: Server) -> None:
    world = contract.World(Ledger(own_server.url, patience=20), time.sleep)
    ledger = world.begin(100)
    client = redis.Redis.from_url(own_server.url)
    client.replicaof("127.0.0.1", "1")
    later = threading.Timer(0.5, client.replicaof, ["NO", "ONE"])
    later.start()
    world.join("a")
    later.join()
    assert len(ledger.snapshot(JOB).instances) == 1
    client.close()
    ledger.disconnect()


def test_a_server_busy_with_a_script_is_waited_for(own_server: Server) -> None:
    world = contract.World(Ledger(own_server.url, patience=20, timeout=10), time.sleep)
    ledger = world.begin(100)
    client = redis.Redis.from_url(own_server.url)
    client.config_set("busy-reply-threshold", 50)

    def loop() -> None:
        with pytest.raises(redis.ResponseError):
            client.eval("while true do end", 0)

    endless = threading.Thread(target=loop)
    endless.start()
    killer = redis.Redis.from_url(own_server.url)
    later = threading.Timer(0.6, killer.script_kill)
    later.start()
    world.join("a")
    later.join()
    endless.join()
    assert len(ledger.snapshot(JOB).instances) == 1
    for it in (client, killer):
        it.close()
    ledger.disconnect()


@pytest.mark.parametrize(("client", "options"), [(wire.Client, ""), (redis.Redis, "&client_name=test")])
def test_an_old_server_is_refused(redis_url: str, monkeypatch: pytest.MonkeyPatch, client: Any, options: str) -> None:
    monkeypatch.setattr(client, "info", lambda *_: {"redis_version": "6.2.14"})
    with pytest.raises(LedgerFailed, match=r"speaks Redis 6\.2\.14: use Redis 7 or later"):
        Ledger(redis_url + options).snapshot(JOB)


def test_a_flushed_server_has_lost_the_job_and_takes_it_anew(world: Any, client: Any) -> None:
    ledger = world.begin(30)
    world.join("a")
    lease, flying = take(ledger), take(ledger)
    commit(ledger, "e1-p", whole(lease))
    clock = client.get("test-clock")
    client.flushall()
    client.set("test-clock", clock)
    for act in (lambda: ledger.snapshot(JOB), lambda: commit(ledger, "e1-q", whole(flying)), lambda: take(ledger)):
        with pytest.raises(LedgerLost):
            act()
    ledger.open(JOB, epoch="e2", lease_seconds=LEASE, error_threshold=-1)
    ledger.extend(JOB, first=0, count=30, items=60, size=300, closed=True)
    ledger.adopt(JOB, part="e1-p", entries=[entry(number, number) for number in range(10)])
    with pytest.raises(Fenced):
        take(ledger)
    world.join("b")
    assert contract.numbers(score_all(ledger, "b")) == list(range(10, 30))


# Cost


def test_a_lease_and_a_commit_cost_the_server_little(real: Ledger, client: Any) -> None:
    real.open(JOB, epoch="e1", lease_seconds=LEASE, error_threshold=-1)
    real.extend(JOB, first=0, count=10**6, items=10**6, size=1, closed=True)
    real.register(JOB, instance="a", info={})
    client.config_resetstat()
    for number in range(200):
        lease = take(real, limit=64)
        thirds = [entry(lease.first, lease.first + 20), entry(lease.first + 21, lease.last)]
        commit(real, f"e1-{number}", *[Entry(**{**_fields(it), "token": lease.token}) for it in thirds])
    spent = client.info("commandstats")["cmdstat_evalsha"]
    assert spent["usec_per_call"] < 500, "about 50 us on a quiet machine"


def _fields(given: Entry) -> dict[str, Any]:
    return {name: getattr(given, name) for name in Entry.__slots__}


# The server's ledger against the double's, step by step

NAMES = st.sampled_from(["a", "b", "c"])


class Twins(RuleBasedStateMachine):
    """Makes the same calls to both ledgers: answers and snapshots must be the same, and the counts must add up."""

    url: str

    def __init__(self) -> None:
        super().__init__()
        self.client = redis.Redis.from_url(self.url, decode_responses=True, protocol=2)
        self.client.flushall()
        self.real = Ledger(self.url)
        set_clock(self.real, self.client)
        self.now = EPOCH_MS
        self.double = MemoryLedger(clock=lambda: self.now / 1000)
        self.epoch = 0
        self.leases: list[tuple[str, Lease]] = []
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.parts = 0
        self.stored: dict[str, list[Entry]] = {}

    def teardown(self) -> None:
        self.finish()
        leaked = [key for key in self.client.scan_iter("gristmill:*") if self.client.ttl(key) == -1]
        self.real.disconnect()
        self.client.close()
        assert not leaked

    def both(self, method: str, **given: Any) -> Any:
        """Make a call to both, and remember it: it may come again, late."""
        answers = []
        for ledger in (self.real, self.double):
            try:
                answers.append(getattr(ledger, method)(JOB, **given))
            except GristmillError as error:
                answers.append(type(error))
        assert answers[0] == answers[1], (method, given)
        if method not in {"snapshot", "open", "forget"}:
            self.calls.append((method, given))
        return answers[0]

    def once(self, method: str, *args: Any, **given: Any) -> Any:
        """Make a call to both that is not one of those that come late."""
        answers = [getattr(ledger, method)(*args, **given) for ledger in (self.real, self.double)]
        assert answers[0] == answers[1], (method, given)
        return answers[0]

    @initialize(
        count=st.integers(1, 40),
        chunk=st.integers(1, 20),
        threshold=st.sampled_from([-1, -1, 12]),
        kept=st.sets(st.integers(0, 39)),
        late=st.booleans(),
    )
    def begin_with_a_part(self, count: int, chunk: int, threshold: int, kept: set[int], late: bool) -> None:
        """A job that was interrupted: the first chunks of it may be done in places. Late: all of it is leased."""
        self.begin(count, chunk, threshold)
        self.stored["e0-000001"] = [entry(number, number) for number in sorted(kept) if number < self.planned]
        self.both("adopt", part="e0-000001", entries=self.stored["e0-000001"])
        if late:
            self.copy(["a", "b", "c"], 1 + count // 4, 3)

    def begin(self, count: int, chunk: int, threshold: int) -> None:
        self.count, self.chunk, self.threshold = count, chunk, threshold
        self.planned = 0
        self.calls = []
        self.epoch += 1
        self.both("open", epoch=f"e{self.epoch}", lease_seconds=LEASE, error_threshold=threshold)
        self.extend()

    @rule()
    def extend(self) -> None:
        if self.planned < self.count:
            size = min(self.chunk, self.count - self.planned)
            last = self.planned + size == self.count
            self.both("extend", first=self.planned, count=size, items=2 * size, size=size, closed=last)
            self.planned += size

    @rule(name=NAMES)
    def register(self, name: str) -> None:
        self.both("register", instance=name, info={"n": self.now})

    @rule(name=NAMES)
    def renew(self, name: str) -> None:
        self.both("renew", instance=name, info={})

    @rule(name=NAMES)
    def leave(self, name: str) -> None:
        self.both("leave", instance=name)

    @rule(seconds=st.sampled_from([0.3, 2.0, 3.0, 9.0]), name=NAMES)
    def pass_time(self, seconds: float, name: str) -> None:
        self.now += round(seconds * 1000)
        self.client.set("test-clock", self.now)
        self.renew(name)

    @rule(
        name=NAMES,
        limit=st.integers(1, 30),
        request=st.integers(1, 60),
        empty=st.sampled_from([False, False, True]),
        least=st.sampled_from([None, 1, 4]),
    )
    def lease(self, name: str, limit: int, request: int, empty: bool, least: int | None) -> None:
        named = {"limit": limit, "request": f"{name}{request}", "holds_nothing": empty, "least": least}
        lease = self.both("lease", instance=name, **named)
        if isinstance(lease, Lease):
            self.leases.append((name, lease))

    @rule(names=st.permutations(["a", "b", "c"]), limit=st.integers(1, 40), twice=st.integers(1, 4))
    def copy(self, names: list[str], limit: int, twice: int) -> None:
        """What is left is leased, and then the beginning of it once more."""
        while self.planned < self.count:
            self.extend()
        for name in names:
            self.register(name)
        for turn in range(60):
            after = 0.0 if turn >= 60 - twice else None
            lease = self.both("lease", instance=names[turn % 3], limit=limit, request=None, copy_after=after)
            if isinstance(lease, Lease):
                self.leases.append((names[turn % 3], lease))
            elif turn < 60 - twice and isinstance(lease, Over):
                break

    @rule(name=NAMES, request=st.integers(1, 9), after=st.sampled_from([0.0, 0.2, 2.5]))
    def speculate(self, name: str, request: int, after: float) -> None:
        lease = self.both("lease", instance=name, limit=5, request=f"{name}{request}", copy_after=after)
        if isinstance(lease, Lease):
            self.leases.append((name, lease))

    @rule(data=st.data(), failed=st.integers(0, 1))
    def race(self, data: st.DataObject, failed: int) -> None:
        """One of those that hold a mini-batch twice commits it, then the other."""
        pairs = self.pairs()
        if pairs:
            number = data.draw(st.sampled_from(sorted(pairs)))
            for token, name in data.draw(st.permutations(pairs[number])):
                self.parts += 1
                part = f"e{self.epoch}-{self.parts:06d}"
                self.both("commit", instance=name, part=part, entries=[entry(number, number, token, failed=failed)])

    @rule(paused=st.booleans())
    def pause(self, paused: bool) -> None:
        self.both("pause", paused=paused)

    @rule(instances=st.sampled_from([None, 0, 1, 2]), name=NAMES, ready=st.booleans(), leaving=st.booleans())
    def share(self, instances: int | None, name: str, ready: bool, leaving: bool) -> None:
        self.both("share", instances=instances)
        info = {"leaving": leaving} | ({"ready_after": 1.0} if ready else {})
        self.both("renew", instance=name, info=info)

    @rule(name=NAMES, seconds=st.sampled_from([15.0, 30.0]))
    def lead(self, name: str, seconds: float) -> None:
        self.once("lead", JOB, leader=name, seconds=seconds)

    @rule(name=NAMES)
    def unlead(self, name: str) -> None:
        self.once("unlead", JOB, leader=name)

    @rule(name=NAMES)
    def announce(self, name: str) -> None:
        self.once("announce", JOB, folder=name)
        assert self.once("announced") == {JOB: name}

    @rule(data=st.data(), failed=st.integers(0, 1), durable=st.booleans())
    def commit(self, data: st.DataObject, failed: int, durable: bool) -> None:
        if not self.leases:
            return
        chosen = [data.draw(st.sampled_from(self.leases)) for _ in range(data.draw(st.integers(1, 2)))]
        entries = []
        for _, lease in chosen:
            first = data.draw(st.integers(lease.first, lease.last))
            last = data.draw(st.sampled_from([lease.last, first]))
            entries += [entry(number, number, lease.token, failed=failed) for number in range(first, last + 1)]
        self.parts += 1
        part = f"e{self.epoch}-{self.parts:06d}"
        if durable:
            self.stored[part] = entries
        self.both("commit", instance=chosen[0][0], part=part, entries=entries)

    @rule(data=st.data(), delay=st.sampled_from([0.0, 0.2, 5.0]))
    def fail(self, data: st.DataObject, delay: float) -> None:
        if self.leases:
            name, lease = data.draw(st.sampled_from(self.leases))
            number = data.draw(st.integers(lease.first, lease.last))
            call = {"token": lease.token, "mini_batch": number, "category": "crash", "delay": delay}
            self.both("fail", instance=name, **call)

    @rule(data=st.data(), everything=st.booleans())
    def give_back(self, data: st.DataObject, everything: bool) -> None:
        if self.leases:
            name, lease = data.draw(st.sampled_from(self.leases))
            first = data.draw(st.integers(lease.first, lease.last))
            ranges = None if everything else [(first, lease.last)]
            self.both("give_back", instance=name, token=lease.token, ranges=ranges)

    @rule(data=st.data())
    def come_again(self, data: st.DataObject) -> None:
        """A call that was made before arrives once more, late."""
        if self.calls:
            method, given = data.draw(st.sampled_from(self.calls))
            lease = self.both(method, **given)
            if isinstance(lease, Lease):
                self.leases.append((given["instance"], lease))

    @rule(data=st.data())
    def adopt(self, data: st.DataObject) -> None:
        if self.stored:
            part = data.draw(st.sampled_from(sorted(self.stored)))
            self.both("adopt", part=part, entries=self.stored[part])

    @rule(data=st.data(), size=st.integers(1, 3))
    def find(self, data: st.DataObject, size: int) -> None:
        """A part turns up that holds what is held twice."""
        pairs = self.pairs()
        if pairs:
            first = data.draw(st.sampled_from(sorted(pairs)))
            self.parts += 1
            part = f"e{self.epoch}-{self.parts:06d}"
            self.stored[part] = [entry(number, number) for number in range(first, min(first + size, self.planned))]
            self.both("adopt", part=part, entries=self.stored[part])

    @rule()
    def lose_the_ledger(self) -> None:
        """Everything is forgotten, and rebuilt from what is stored."""
        self.both("forget")
        self.begin(self.count, self.chunk, self.threshold)
        while self.planned < self.count:
            self.extend()
        for part in sorted(self.stored):
            self.both("adopt", part=part, entries=self.stored[part])

    @invariant()
    def the_counts_add_up(self) -> None:
        if not self.epoch:
            return
        found = self.both("snapshot")
        flying, pairs = self.live(), self.pairs()
        assert found.done + found.leased + found.returned + self.never_leased(found.cursor) == found.planned
        assert found.items_done == found.succeeded + found.failed == 2 * found.done
        twice = sorted(number for number in set(flying) if flying.count(number) > 1)
        assert len(set(flying)) == found.leased == len(flying) - len(twice), "a double counts once"
        assert twice == sorted(pairs), "no mini-batch is under two live tokens but a copy and what it is a copy of"
        assert all(number in self.live(token) for number, pair in pairs.items() for token, _ in pair)
        counted = [number for _, ranges in self.real.parts(JOB) for number in contract.numbers(ranges)]
        assert len(counted) == len(set(counted)) == found.done, "each counts from one part"
        assert not set(flying) & set(counted)

    def pairs(self) -> dict[int, list[tuple[str, str]]]:
        """Return who holds each mini-batch that is held twice, as the server has it."""
        home = f"gristmill:{{{JOB}}}"
        found = self.client.zrange(f"{home}:doubles", 0, -1, withscores=True)
        assert len(found) == int(self.client.hget(f"{home}:job", "doubled"))
        return {int(number): [(token, name) for token, name in json.loads(text)] for text, number in found}

    def live(self, token: str = "") -> list[int]:
        """Return each mini-batch under a live token, or that one, as the server has it."""
        return [
            number
            for key in self.client.scan_iter(f"gristmill:{{{JOB}}}:lease:*")
            for field, text in self.client.hgetall(key).items()
            if (field == f"lease:{token}" if token else field.startswith("lease:"))
            for number in contract.numbers(_ranges(text.split(":")[2]))
        ]

    def never_leased(self, cursor: int) -> int:
        done = {number for _, ranges in self.real.parts(JOB) for number in contract.numbers(ranges)}
        return len(set(range(cursor, self.planned)) - done)

    def finish(self) -> None:
        """Whatever happened, one more instance brings the job to its end."""
        if not self.epoch:
            return
        while self.planned < self.count:
            self.extend()
        self.both("share", instances=None)
        self.both("register", instance="last", info={})
        self.both("pause", paused=False)
        for _ in range(400):
            lease = self.both("lease", instance="last", limit=50)
            if lease is LedgerFailed or isinstance(lease, Over):
                break
            if isinstance(lease, Lease):
                self.both("commit", instance="last", part=f"last-{lease.token}", entries=[whole(lease)])
            else:
                self.now += 1000
                self.client.set("test-clock", self.now)
                self.both("renew", instance="last", info={})
        found = self.both("snapshot")
        assert found.state in {"scored", "stopped"}
        assert found.state == "stopped" or (found.done, found.leased, found.returned) == (self.count, 0, 0)
        self.close()

    def close(self) -> None:
        """A closed job takes nothing more, whatever arrives late."""
        calls = self.calls[-30:]
        self.both("close", status="Completed")
        assert self.once("announced") == {}
        done = self.both("snapshot").done
        for method, given in calls:
            self.both(method, **given)
        for name in ("a", "b", "c", "last"):
            self.both("leave", instance=name)
        found = self.both("snapshot")
        assert (found.state, found.done, found.leased, found.instances) == ("closed", done, 0, [])


def _ranges(text: str) -> list[tuple[int, int]]:
    pairs = [piece.partition("-") for piece in text.split(",")]
    return [(int(first), int(last or first)) for first, _, last in pairs]


def test_the_double_and_the_server_agree_whatever_happens(redis_url: str) -> None:
    Twins.url = redis_url
    run_state_machine_as_test(
        Twins,
        settings=settings(
            max_examples=80, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


# Versions


class Versions:
    """One job, and ledgers of processes that speak different protocols."""

    def __init__(self, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self._patch = monkeypatch
        self.ledgers = {number: Ledger(url) for number in (4, 5, 6, 7, 8)}

    def __call__(self, number: int) -> Ledger:
        """Return a ledger whose next calls are made at a protocol."""
        self._patch.setattr(versions, "PROTOCOL", number)
        return self.ledgers[number]


@pytest.fixture
def speaking(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Versions]:
    made = Versions(redis_url, monkeypatch)
    yield made
    for ledger in made.ledgers.values():
        ledger.disconnect()


def test_only_neighbours_of_a_job_touch_it(speaking: Versions, client: Any) -> None:
    speaking(6).open(JOB, epoch="1", lease_seconds=30, error_threshold=-1)
    speaking(6).extend(JOB, first=0, count=10, items=10, size=10, closed=True)
    for number in (5, 6, 7):
        name = f"i{number}"
        assert speaking(number).register(JOB, instance=name, info={}).state == "open"
        lease = speaking(number).lease(JOB, instance=name, limit=1)
        assert isinstance(lease, Lease)
        commit(speaking(number), f"p{number}", whole(lease), instance=name)
        speaking(number).leave(JOB, instance=name)
    before = {key: client.dump(key) for key in client.scan_iter("gristmill:*") if not key.endswith(":bell")}

    calls: list[Callable[[Ledger], object]] = [
        lambda ledger: ledger.open(JOB, epoch="2", lease_seconds=30, error_threshold=-1),
        lambda ledger: ledger.register(JOB, instance="x", info={}),
        lambda ledger: ledger.renew(JOB, instance="i6", info={}),
        lambda ledger: ledger.lease(JOB, instance="i6", limit=1),
        lambda ledger: commit(ledger, "q", whole(lease)),
        lambda ledger: ledger.stop(JOB, state="stopped", error=None),
        lambda ledger: ledger.pause(JOB, paused=True),
        lambda ledger: ledger.share(JOB, instances=1),
        lambda ledger: ledger.close(JOB, status="Failed"),
        lambda ledger: ledger.speak(JOB),
        lambda ledger: ledger.snapshot(JOB),
    ]
    for number, older in ((4, "upgrade this process"), (8, "upgrade the scheduler that leads it")):
        for call in calls:
            with pytest.raises(OtherVersion, match=f"job {JOB} in the ledger is of protocol 6, .* {number}: {older}$"):
                call(speaking(number))

    assert {key: client.dump(key) for key in before} == before
    assert speaking(6).snapshot(JOB).done == 3


def test_a_job_keeps_the_greatest_protocol_of_those_that_led_it(speaking: Versions, client: Any) -> None:
    speaking(5).open(JOB, epoch="1", lease_seconds=30, error_threshold=-1)
    seen = []
    for number in (4, 5, 6, 5, 7, 6):
        speaking(number).speak(JOB)
        seen.append(int(client.hget(f"gristmill:{{{JOB}}}:job", "protocol")))

    assert seen == [5, 5, 6, 6, 7, 7]
    with pytest.raises(OtherVersion):
        speaking(5).snapshot(JOB)


def test_a_job_from_before_protocols_were_told_is_of_the_first(speaking: Versions, client: Any, real: Ledger) -> None:
    real.open(JOB, epoch="1", lease_seconds=30, error_threshold=-1)
    client.hdel(f"gristmill:{{{JOB}}}:job", "protocol")

    assert real.snapshot(JOB).state == "open"
    with pytest.raises(OtherVersion, match="is of protocol 1, "):
        speaking(4).snapshot(JOB)


def test_a_closed_job_of_any_version_can_begin_a_new_life(speaking: Versions) -> None:
    speaking(4).open(JOB, epoch="1", lease_seconds=30, error_threshold=-1)
    speaking(4).close(JOB, status="Completed")

    speaking(8).open(JOB, epoch="2", lease_seconds=30, error_threshold=-1)

    assert speaking(8).snapshot(JOB).epoch == "2"


def test_metrics_leave_out_jobs_of_other_versions(speaking: Versions, redis_url: str) -> None:
    for number, name in ((4, "old"), (8, "new")):
        speaking(number).open(name, epoch="1", lease_seconds=30, error_threshold=-1)
    measures = Measures(redis_url)

    assert set(measures.jobs(["old", "new"])) == {"new"}
    measures.disconnect()
