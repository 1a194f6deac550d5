from __future__ import annotations

import pytest

from gristmill.deployment.schema import SETTINGS
from gristmill.deployment.sections import Section
from gristmill.errors import Mistake
from gristmill_scheduler.jobs.overrides import is_override, overrides_of


@pytest.mark.parametrize(
    "given",
    [
        {"retry_settings": {"max_retries": 2}},
        {"retrySettings": {"maxRetries": "2"}},
        {"max_retries": 2},
        {"settings": {"retry_settings": {"max_retries": 2}}},
        {"settings.retry_settings.max_retries": 2},
        [{"retry_settings.max_retries": 2}],
        ["settings.retry_settings.max_retries=2"],
    ],
)
def test_every_spelling_means_the_same(given) -> None:
    assert overrides_of(given, "overrides") == ["settings.retry_settings.max_retries=2"]


@pytest.mark.parametrize(
    "given",
    [
        {"priority": "high"},
        {"settings": {"priority": "high"}},
        ["settings.priority=high"],
        {"queue_settings": {"priority": "high"}},
        {"queueSettings.priority": "high"},
    ],
)
def test_a_priority_is_given_as_ours_or_as_azures_other_jobs_have_it(given) -> None:
    assert overrides_of(given, "overrides") == ['settings.priority="high"']
    assert is_override("queuesettings")


def leaves(section: Section, above: str) -> list[str]:
    """Where each setting stands."""
    inner = [leaves(key.kind, f"{above}.{key.name}") for key in section.keys if isinstance(key.kind, Section)]
    own = [f"{above}.{key.name}" for key in section.keys if not isinstance(key.kind, Section)]
    return own + [each for one in inner for each in one]


#: One has a second place beside the settings, the other is a mapping of its own.
ELSEWHERE = {"settings.instance_count", "settings.environment_variables"}


@pytest.mark.parametrize("place", sorted({*leaves(SETTINGS, "settings")} - ELSEWHERE))
def test_every_setting_can_be_given_for_one_job(place: str) -> None:
    name = place.rpartition(".")[2]

    assert overrides_of({name: "5"}, "") in ([f"{place}=5"], [f'{place}="5"'])
    assert is_override(name.replace("_", ""))


def test_what_belongs_together_may_be_given_together() -> None:
    tuning = {"flush_bytes": 5, "prefetch_items": 0}

    expected = ["settings.tuning.flush_bytes=5", "settings.tuning.prefetch_items=0"]
    assert overrides_of({"settings": {"tuning": tuning}}, "") == overrides_of({"tuning": tuning}, "") == expected
    assert is_override("tuning")
    assert not is_override("properties")


@pytest.mark.parametrize(
    ("given", "seconds"),
    [("PT5M", 300), ("PT1H30M", 5400), ("P1D", 86400), ("pt0.5s", 1), ("45", 45), (45, 45), (45.0, 45)],
)
def test_a_timeout_may_be_a_duration(given, seconds) -> None:
    assert overrides_of({"timeout": given}, "") == [f"settings.retry_settings.timeout={seconds}"]


def test_the_names_of_environment_variables_stay_as_they_are() -> None:
    given = {"environment_variables": {"MyName_x": 5, "B": True}}

    assert overrides_of(given, "") == [
        'settings.environment_variables.MyName_x="5"',
        'settings.environment_variables.B="true"',
    ]
    assert overrides_of({"settings.environment_variables.A": "a=b"}, "") == ['settings.environment_variables.A="a=b"']


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"compute": "gpu"}, "compute: belongs to the deployment"),
        ({"model": {"path": "x"}}, "overrides.model.path: nothing of that name"),
        ({"mini_batch_siz": 5}, "did you mean mini_batch_size"),
        ({"xyz": 5}, "known are delimiter"),
        ({"timeout": "PT"}, "is no duration"),
        ({"timeout": "soon"}, "no whole number"),
        ({"mini_batch_size": 1.5}, "no whole number"),
        ({"mini_batch_size": True}, "no whole number"),
        ({"mini_batch_size": [1]}, "is a list"),
        ({"environment_variables": {"A.B": "x"}}, "has no '.'"),
        (["mini_batch_size"], "write key=value"),
        ("mini_batch_size=5", "is no object"),
        ({"other": {"mini_batch_size": 5}}, "nothing of that name"),
    ],
)
def test_what_cannot_be_changed_is_refused_and_named(given, words) -> None:
    with pytest.raises(Mistake, match=words):
        overrides_of(given, "overrides")


def test_what_is_null_is_not_changed() -> None:
    assert overrides_of({"mini_batch_size": None, "compute": {"isLocal": True}}, "overrides") == []
