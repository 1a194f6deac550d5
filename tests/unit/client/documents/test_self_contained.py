from __future__ import annotations

import pytest

from gristmill.documents import load_deployment_document, load_environment
from gristmill.errors import InvalidDocument

HEAD = "name: abc\nendpoint_name: end\nmodel: azureml:m:1\n"


def test_what_requirements_include_is_put_in_place(place, write):
    (place / "more").mkdir()
    (place / "more" / "a.txt").write_text("pandas # tables\n-r b.txt\n")
    (place / "more" / "b.txt").write_text("scipy\n")
    (place / "r.txt").write_text("numpy\n-r more/a.txt\n--requirement=more/b.txt\n")
    environment = load_environment(write("name: e\nrequirements_file: r.txt\n"))
    assert environment["requirements_file"] == ["numpy", "pandas", "scipy", "scipy"]


def test_so_is_what_the_pip_list_of_a_conda_file_includes(place, write):
    (place / "environment" / "conda.yaml").write_text(
        "dependencies:\n  - python=3.11\n  - pip: [-r requirements.txt]\n"
    )
    document = load_deployment_document(write(f"{HEAD}environment: {{conda_file: environment/conda.yaml}}\n"))
    assert document["environment"]["conda_file"]["dependencies"] == ["python=3.11", {"pip": ["torch==2.2", "numpy"]}]


@pytest.mark.parametrize(
    "line",
    [
        "numpy>=1.24; python_version > '3.8'",
        "torch[cuda]==2.2",
        "--extra-index-url https://host/simple",
        "x @ https://host/x-1.0-py3-none-any.whl",
        "https://host/x-1.0-py3-none-any.whl",
        "git+https://host/x@main",
        "-e git+https://host/x#egg=x",
        "-r https://host/r.txt",
        "/shared/x-1.0-py3-none-any.whl",
        "file:///shared/x.whl",
        "--find-links /shared/wheels",
    ],
)
def test_what_means_the_same_everywhere_stays(write, place, line):
    (place / "r.txt").write_text(f"{line}\n")
    assert load_environment(write("name: e\nrequirements_file: r.txt\n"))["requirements_file"] == [line]


@pytest.mark.parametrize(
    "line",
    [
        "./x.whl",
        "../x",
        "x-1.0-py3-none-any.whl",
        "wheels/x.tar.gz",
        "-e .",
        "--editable ./x",
        "-c c.txt",
        "file:x",
    ],
)
def test_a_file_beside_it_is_refused(refused, place, line):
    (place / "r.txt").write_text(f"numpy\n{line}\n")
    (fault,) = refused(load_environment, "name: e\nrequirements_file: r.txt\n")
    assert (fault.line, fault.field) == (2, "requirements_file")
    assert fault.message.startswith(f"'{line}' is a file beside this one, which no other machine has")


@pytest.mark.parametrize(
    ("content", "message"), [("-r gone.txt", "gone.txt: no such file"), ("-r r.txt", "more than 20")]
)
def test_what_cannot_be_included_is_refused(refused, place, content, message):
    (place / "r.txt").write_text(content)
    (fault,) = refused(load_environment, "name: e\nrequirements_file: r.txt\n")
    assert message in fault.message


def test_a_server_reads_no_file_for_a_document(place):
    secret = place / "secret.txt"
    secret.write_text("hush\n")
    document = {"name": "e", "requirements_file": [f"-r {secret}"]}
    assert load_environment(document, local=False) == document
    inline = {"name": "e", "conda_file": {"dependencies": [{"pip": [f"-r {secret}"]}]}}
    assert load_environment(inline, local=False) == inline


def test_a_server_refuses_what_a_client_left_relative():
    with pytest.raises(InvalidDocument, match="is a file beside this one"):
        load_environment({"name": "e", "requirements_file": ["-r secret.txt"]}, local=False)
