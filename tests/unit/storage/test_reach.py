"""Which addresses requests may lead to: all kinds of what is not public, in all of their forms."""

from __future__ import annotations

import pytest

from gristmill.errors import InvalidSetting
from gristmill_storage.reach import Reach, Unreachable

PUBLIC = ["93.184.216.34", "8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1"]

INTERNAL = [
    ("127.0.0.1", "loopback"),
    ("127.255.3.4", "loopback"),
    ("::1", "loopback"),
    ("0.0.0.0", "unspecified"),
    ("::", "unspecified"),
    ("10.1.2.3", "private"),
    ("172.16.0.1", "private"),
    ("192.168.1.1", "private"),
    ("fd12:3456::1", "private"),
    ("100.64.0.1", "reserved"),
    ("240.0.0.1", "private"),
    ("224.0.0.1", "multicast"),
    ("169.254.169.254", "link-local or metadata"),
    ("fe80::1", "link-local or metadata"),
    ("fe80::1%eth0", "link-local or metadata"),
    ("fd00:ec2::254", "link-local or metadata"),
    ("100.100.100.200", "link-local or metadata"),
    ("168.63.129.16", "link-local or metadata"),
    ("::ffff:127.0.0.1", "loopback"),
    ("::ffff:169.254.169.254", "link-local or metadata"),
    ("64:ff9b::a9fe:a9fe", "link-local or metadata"),
    ("64:ff9b:1::7f00:1", "loopback"),
    ("2002:7f00:1::1", "loopback"),
    ("2002:a00:1::", "private"),
    ("::127.0.0.1", "loopback"),
]


@pytest.mark.parametrize("address", PUBLIC)
def test_what_is_public_is_reached(address: str) -> None:
    Reach().check(address)
    Reach().check_host(address)


@pytest.mark.parametrize(("address", "kind"), INTERNAL)
def test_nothing_internal_is_reached(address: str, kind: str) -> None:
    for look in (Reach().check, Reach().check_host):
        with pytest.raises(Unreachable) as caught:
            look(address)
        assert caught.value.kind == kind


def test_what_is_allowed_is_reached_and_its_neighbours_are_not() -> None:
    reach = Reach.read(["10.1.0.0/16", "192.168.1.7", "fd12::/64", "Files.Corp.", ".lab"])

    for address in ("10.1.2.3", "::ffff:10.1.2.3", "192.168.1.7", "fd12::9"):
        reach.check(address)
    for address in ("10.2.0.1", "192.168.1.8", "fd13::9", "127.0.0.1"):
        with pytest.raises(Unreachable):
            reach.check(address)
    assert all(map(reach.names_host, ("files.corp", "FILES.corp.", "a.lab")))
    assert not any(map(reach.names_host, ("lab", "xfiles.corp", "a.corp", "")))


def test_a_name_that_is_allowed_may_lead_anywhere_but_to_metadata() -> None:
    Reach().check("10.9.9.9", by_name=True)
    for address in ("169.254.169.254", "fd00:ec2::254"):
        with pytest.raises(Unreachable):
            Reach().check(address, by_name=True)


def test_metadata_is_reached_only_where_it_is_meant() -> None:
    for wide in (["0.0.0.0/0"], ["::/0"], ["169.0.0.0/8"]):
        with pytest.raises(Unreachable):
            Reach.read(wide).check("169.254.169.254")
    Reach.read(["169.254.0.0/16"]).check("169.254.169.254")
    Reach.read(["169.254.169.254"]).check("169.254.169.254")


def test_hosts_that_are_no_numbers_tell_nothing_but_localhost() -> None:
    Reach().check_host("example.org")
    Reach().check_host("")
    for host in ("localhost", "LocalHost."):
        with pytest.raises(Unreachable):
            Reach().check_host(host)
    Reach.read(["localhost"]).check_host("localhost")
    Reach.read(["127.0.0.1"]).check_host("[::ffff:127.0.0.1]")


@pytest.mark.parametrize("text", ["http://files.corp", "10.0.0.0/33", "a b", "", ".", "files.corp:80"])
def test_what_is_no_host_is_refused(text: str) -> None:
    with pytest.raises(InvalidSetting, match="give a name"):
        Reach.read([text])


def test_a_job_without_hosts_has_no_bounds() -> None:
    assert Reach.of(None) is None
    assert Reach.of(()) == Reach()
