"""What a file's failure is called, and whether another attempt would end the same."""

from __future__ import annotations

import traceback
from typing import Any, Callable


class ItemFailed(Exception):
    """One file cannot be scored."""

    def __init__(self, category: str, text: str, trace: str = "", *, final: bool = True) -> None:
        """Take the category, what is wrong, the model's traceback, and whether another attempt would end the same."""
        super().__init__(text)
        self.category = category
        self.trace = trace
        self.final = final

    def about(self, item: str, path: str, which: str = "") -> dict[str, Any]:
        """Return the error as it stands in a result, in the words that Azure's users know.

        `which` says what of the file the item is, if it is not all of it.
        """
        return {
            "file": item,
            "category": self.category,
            "message": f"Error processing input file: '{path}'{which}. {self}",
            "traceback": self.trace,
            "final": self.final,
        }


def counted(number: int, one: str) -> str:
    """Return a number with its noun, in messages."""
    return f"{number} {one}{'' if number == 1 else 's'}"


def unsupported(extension: str) -> ItemFailed:
    """Return the failure of a file whose kind no model is given."""
    return ItemFailed("unsupported", f"File type '{extension}' is not supported")


def attempt(step: Callable[[], Any], category: str = "unreadable") -> Any:
    """Return what the step returns; an exception of it fails the file.

    Raises:
        ItemFailed: the step raised; for good, unless it was the system (a lost mount, no memory) that refused.

    """
    try:
        return step()
    except ItemFailed:
        raise
    except Exception as error:
        passing = isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno is not None)
        raise ItemFailed(category, f"Exception: {_text(error)}", final=not passing) from error


def refused(error: Exception) -> ItemFailed:
    """Return what an exception out of predict means: MLflow's refusal of the input, or a fault in the model."""
    inner = error.__traceback__.tb_next if error.__traceback__ else None  # the first frame is ours
    names = [frame.name for frame in traceback.extract_tb(inner)]
    if any(name.startswith(("_enforce_", "_validate_prediction_input")) for name in names):
        return ItemFailed("unreadable", f"Exception: {_text(error)}")
    trace = "".join(traceback.format_exception(type(error), error, inner))
    return ItemFailed("exception", f"Exception: {_text(error)}", trace, final=False)


def _text(error: BaseException) -> str:
    return str(error) or type(error).__name__
