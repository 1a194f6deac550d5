"""Which versions of Gristmill work with each other: those whose protocols are neighbours.

The protocol is what processes say to each other and leave for each other: messages of the queue, the ledger's keys,
what nodes say of themselves, the workspace. A process works with those of its own number, and of one less or more, so
that a cluster can be upgraded one process after the other. It refuses all others, in one line that says which of the
two is to be upgraded; nothing is lost by that.

The number grows by one with a change that the version before can live with, and by two with one that it cannot.
Documents that outlive a version (a job's folder) have numbers of their own: what is newer is refused, nothing older is.
"""

from __future__ import annotations

import gristmill

#: What this Gristmill speaks.
PROTOCOL = 1

#: What was spoken before the number was told.
UNTOLD = 1


def works_with(theirs: int) -> bool:
    """Return whether a protocol is a neighbour of this one."""
    return abs(theirs - PROTOCOL) <= 1


def refusal(theirs: int, what: str, *, this: str, that: str) -> str:
    """Return why something is refused; "" where it is not.

    Args:
        theirs: its protocol
        what: the thing, as "a message of job x"
        this: what refuses it, as "this node"
        that: what it comes from, as "the scheduler that sent it"

    """
    if works_with(theirs):
        return ""
    older = this if theirs > PROTOCOL else that
    return (
        f"{what} is of protocol {theirs}, and {this} (Gristmill {gristmill.__version__}) speaks protocol {PROTOCOL}: "
        f"upgrade {older}"
    )


def protocol_of(document: object) -> int:
    """Return the protocol that a document of another process tells; one that tells none is from before they did."""
    told = document.get("protocol", UNTOLD) if isinstance(document, dict) else UNTOLD
    return told if isinstance(told, int) else UNTOLD
