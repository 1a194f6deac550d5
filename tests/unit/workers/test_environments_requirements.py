from __future__ import annotations

import pytest
from packaging.requirements import Requirement

from gristmill.errors import EnvironmentFailed
from gristmill_workers.environments.requirements import read_requirements


def texts(*lines, folder):
    return [line.text for line in read_requirements(lines, folder, "environment.requirements_file").lines]


def test_lines_are_brought_into_one_form(tmp_path):
    given = ["# a comment", "", "Scikit_Learn == 1.1.3  # why", "pandas>=1.5 , <2", 'tomli; python_version < "3.11"']
    assert texts(*given, folder=tmp_path) == ["scikit-learn==1.1.3", "pandas<2,>=1.5", 'tomli; python_version < "3.11"']


def test_a_line_goes_on_after_a_backslash_and_keeps_its_hashes(tmp_path):
    assert texts("six==1.16.0 \\", "    --hash=sha256:ab12 \\\n --hash=sha256:cd34", folder=tmp_path) == [
        "six==1.16.0 --hash=sha256:ab12 --hash=sha256:cd34"
    ]


def test_included_files_are_read_from_their_own_folder(tmp_path):
    (tmp_path / "more" / "deep").mkdir(parents=True)
    (tmp_path / "more" / "a.txt").write_text("six\n-r deep/b.txt\n")
    (tmp_path / "more" / "deep" / "b.txt").write_text("\ufeffcolorama\n")
    assert texts("-r more/a.txt", "toolz", folder=tmp_path) == ["six", "colorama", "toolz"]
    assert texts("--requirement=more/a.txt", folder=tmp_path) == ["six", "colorama"]


def test_constraints_bound_and_do_not_ask(tmp_path):
    (tmp_path / "c.txt").write_text("six<2\n")
    found = read_requirements(["-c c.txt", "toolz"], tmp_path, "x")
    assert [(line.text, line.constraint) for line in found.lines] == [("six<2", True), ("toolz", False)]
    assert found.names == {"toolz"}


def test_files_that_include_one_another_in_a_circle_are_refused(tmp_path):
    (tmp_path / "a.txt").write_text("-r a.txt\n")
    with pytest.raises(EnvironmentFailed, match="in a circle"):
        read_requirements(["-r a.txt"], tmp_path, "x")


def test_a_missing_included_file_is_named(tmp_path):
    with pytest.raises(
        EnvironmentFailed, match=r"x: '-r gone.txt' names .*gone.txt, which cannot be read: No such file"
    ):
        read_requirements(["-r gone.txt"], tmp_path, "x")


def test_azures_own_packages_are_passed_over_and_others_are_not(tmp_path):
    found = read_requirements(
        ["azureml-core", "azureml_dataset-runtime[fuse]==1.5", "azureml-defaults", "inference-schema"], tmp_path, "x"
    )
    assert found.skipped == ("azureml-core", "azureml_dataset-runtime[fuse]==1.5")
    assert found.names == {"azureml-defaults", "inference-schema"}


def test_options_are_kept_turned_into_flags_or_passed_over(tmp_path):
    given = [
        "-i http://a/simple",
        "--extra-index-url=http://b/",
        "-f wheels",
        "--pre",
        "--trusted-host a",
        "--prefer-binary",
    ]
    found = read_requirements(given, tmp_path, "x")
    assert [(line.text, line.option) for line in found.lines] == [
        ("--index-url http://a/simple", True),
        ("--extra-index-url http://b/", True),
        (f"--find-links {tmp_path / 'wheels'}", True),
    ]
    assert found.flags == ("--prerelease=allow", "--allow-insecure-host", "a")
    assert found.skipped == ("--prefer-binary",)


def test_addresses_are_kept_and_paths_made_absolute(tmp_path):
    (tmp_path / "package").mkdir()
    given = ["git+https://host/x.git@v1", "./package[fast]", "-e package", "six @ https://host/six.whl"]
    assert texts(*given, folder=tmp_path) == [
        "git+https://host/x.git@v1",
        f"{tmp_path / 'package'}[fast]",
        f"-e {tmp_path / 'package'}",
        str(Requirement("six @ https://host/six.whl")),
    ]


def test_a_local_packages_content_counts_and_what_its_builds_leave_does_not(tmp_path):
    package = tmp_path / "package"
    (package / "__pycache__").mkdir(parents=True)
    (package / "setup.py").write_text("one")

    def content():
        return read_requirements(["./package"], tmp_path, "x").lines[0].content

    first = content()
    (package / "__pycache__" / "setup.pyc").write_text("two")
    assert content() == first
    (package / "setup.py").write_text("two")
    assert content() != first


def test_a_conda_like_line_is_refused_with_the_line_that_was_meant(tmp_path):
    with pytest.raises(
        EnvironmentFailed, match=r"'six=1.16' is neither a requirement nor a path .* did you mean six==1.16\?"
    ):
        read_requirements(["six=1.16"], tmp_path, "x")
    with pytest.raises(EnvironmentFailed, match="write name==version, or a path that exists"):
        read_requirements(["./nowhere"], tmp_path, "x")
