"""Computes and datastores."""

from __future__ import annotations

import pytest

from gristmill.documents import load_compute, load_datastore

CLUSTER = """\
$schema: x
name: batch-cluster
type: AmlCompute
size: STANDARD_DS3_v2
min_instances: 0
max_instances: "5"
idle_time_before_scale_down: 120
tier: LowPriority
location: westus
ssh_public_access_enabled: true
ssh_settings: {admin_username: a, admin_password: hush}
network_settings: {subnet: s}
identity: {type: system_assigned}
enable_node_public_ip: false
tags: {a: b}
"""


def test_a_cluster_is_read(write):
    assert load_compute(write(CLUSTER)) == {
        "name": "batch-cluster",
        "type": "amlcompute",
        "size": "STANDARD_DS3_v2",
        "min_instances": 0,
        "max_instances": 5,
        "idle_time_before_scale_down": 120,
        "tier": "low_priority",
        "tags": {"a": "b"},
    }


def test_a_compute_may_be_told(write):
    found = load_compute({}, name="c", overrides=["max_instances=3", "type=amlcompute"])
    assert found == {"name": "c", "type": "amlcompute", "max_instances": 3}


@pytest.mark.parametrize(
    ("lines", "field", "message"),
    [
        ("type: amlcompute", "name", "Missing data for required field."),
        ("name: azureml:c", "name", "'azureml:c' is a reference; give the name alone"),
        ("name: a b", "name", "'a b' is no compute"),
        ("name: c\ntype: computeinstance", "type", "Value 'computeinstance' passed is not in set"),
        ("name: c\nmin_instances: -1", "min_instances", "-1 is out of range"),
        ("name: c\nmax_instances: 0", "max_instances", "0 is out of range"),
        ("name: c\nmax_instances: many", "max_instances", "Not a valid integer."),
        ("name: c\nmin_instances: 3\nmax_instances: 2", "min_instances", "3 is more than max_instances 2"),
        ("name: c\ninstance_count: 3", "instance_count", "Unknown field. A job says how many it wants"),
        ("name: c\ntier: cheap", "tier", "Value 'cheap' passed is not in set"),
    ],
)
def test_a_compute_is_refused(refused, lines, field, message):
    (fault,) = refused(load_compute, f"{lines}\n")
    assert fault.field == field
    assert fault.message.startswith(message)


STORES = {
    "azure_blob": "account_name: acc\ncontainer_name: con\n",
    "azure_file": "account_name: acc\nfile_share_name: s\n",
    "azure_data_lake_gen2": "account_name: acc\nfilesystem: fs\nendpoint: core.windows.net\nprotocol: https\n",
    "s3": "bucket: b\nprefix: a/b\n",
    "gcs": "bucket: b\n",
}


@pytest.mark.parametrize("kind", STORES)
def test_a_datastore_is_read(write, kind):
    text = f"name: d\ntype: {kind}\n{STORES[kind]}credentials: {{environment: MY_KEY}}\ndescription: x\n"
    found = load_datastore(write(text))
    assert found["type"] == kind
    assert found["credentials"] == {"environment": "MY_KEY"}
    assert found.keys() >= {line.partition(":")[0] for line in STORES[kind].splitlines()}


def test_a_local_datastores_folder_is_absolute(write, place):
    found = load_datastore(write("name: d\ntype: local\npath: data\n"), name="told")
    assert found == {"name": "told", "type": "local", "path": str(place / "data")}


@pytest.mark.parametrize(
    ("lines", "field", "message"),
    [
        ("type: s3\nbucket: b", "name", "Missing data for required field."),
        ("name: d", "type", "Missing data for required field. Give one of azure_blob, "),
        ("name: d\ntype: ftp", "type", "Value 'ftp' passed is not in set"),
        ("name: d\ntype: s3", "bucket", "Missing data for required field."),
        ("name: d\ntype: s3\nbucket: b\ncontainer_name: c", "container_name", "Unknown field."),
        ("name: d\ntype: azure_blob\ncontainer_name: c", "account_name", "Missing data for required field."),
        ("name: d\ntype: local\npath: s3://b", "path", "an address is no folder; give type: s3"),
        ("name: d\ntype: s3\nbucket: b\ncredentials: {environment: a=b}", "credentials.environment", "this is no name"),
        (
            "name: d\ntype: s3\nbucket: b\ncredentials: {environment: A, file: /b}",
            "credentials.file",
            "environment and file exclude each other",
        ),
    ],
)
def test_a_datastore_is_refused(refused, lines, field, message):
    found = {fault.field: fault.message for fault in refused(load_datastore, f"{lines}\n")}
    assert found[field].startswith(message)


def test_a_literal_secret_is_left_to_the_server(write):
    text = f"name: d\ntype: azure_blob\n{STORES['azure_blob']}credentials: {{account_key: hush}}\n"
    assert load_datastore(write(text))["credentials"] == {"account_key": "hush"}


@pytest.mark.parametrize(
    "credentials",
    ["{account_key: 778899}", "{acount_key: 778899}", "{account_key: [778899]}", "{environment: 7 78899}"],
)
def test_no_message_shows_a_secret(refused, credentials):
    text = f"name: d\ntype: azure_blob\n{STORES['azure_blob']}credentials: {credentials}\n"
    for fault in refused(load_datastore, text):
        assert "78899" not in str(fault)


@pytest.mark.parametrize("override", ["credentials.account_key.a=778899", "credentials.acount_key=778899"])
def test_no_message_shows_a_secret_that_was_set(refused, override):
    text = f"name: d\ntype: azure_blob\n{STORES['azure_blob']}credentials: {{account_key: hush}}\n"
    found = refused(load_datastore, text, overrides=[override])
    assert all("778899" not in str(fault) and "hush" not in str(fault) for fault in found)
