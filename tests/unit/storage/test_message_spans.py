from __future__ import annotations

from gristmill.tracing import NO_SPAN
from gristmill_storage.message_spans import processing, sending
from gristmill_storage.messages import Message

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_where_no_traces_are_made_a_message_bears_the_span_that_it_was_given() -> None:
    """The scheduler may make none, and the node some: they are in the job's trace all the same."""
    message = Message(job="j", folder="/f", traceparent=PARENT)
    with sending(message, "gristmill.c") as sent:
        assert sent == message
    with processing("gristmill.instance", Message.from_json(sent.to_json()), "gristmill.c") as span:
        assert span.traceparent == PARENT


def test_a_message_without_a_span_is_as_older_nodes_know_it() -> None:
    with sending(Message(job="j", folder="/f"), "gristmill.c") as sent:
        assert "traceparent" not in sent.to_json()
    with processing("gristmill.instance", sent, "gristmill.c") as span:
        assert span == NO_SPAN
