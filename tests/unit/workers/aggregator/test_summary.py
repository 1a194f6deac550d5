from __future__ import annotations

from gristmill.spec import Deployment, Input, Job, Output
from gristmill_workers.aggregator.summary import Tally, summary_document


def test_an_inputs_address_is_told_without_what_is_secret_in_it() -> None:
    given = Input(uri="https://me:hidden@host/in?sv=1&sig=hidden")
    job = Job(name="j", deployment=Deployment(), input=given, output=Output(folder="/out"))
    result = {"status": "Completed", "error": None, "output": None, "errors": None}

    summary = summary_document(job, result, Tally(), {}, aggregate_began=0.0)

    assert summary["input"] == {"uri": "https://host/in", "type": "uri_folder"}
    assert "hidden" not in str(summary)


def test_the_values_of_a_deployments_variables_are_not_told() -> None:
    deployment = Deployment(environment_variables={"API_KEY": "hidden"})
    job = Job(name="j", deployment=deployment, input=Input(uri="/in"), output=Output(folder="/out"))
    result = {"status": "Completed", "error": None, "output": None, "errors": None}

    summary = summary_document(job, result, Tally(), {}, aggregate_began=0.0)

    assert summary["deployment"]["environment_variables"] == {"API_KEY": "***"}
    assert "hidden" not in str(summary)
