"""Long lists in pages: `?limit=` and `?after=`, answered with the address of the next one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeVar
from urllib.parse import quote, urlencode

from fastapi import Depends, Query, Request

from gristmill.errors import Mistake

#: Entries of a page that asks for no number.
DEFAULT_LIMIT: Final = 50

#: Entries of a page at most.
MOST: Final = 1000

#: Characters of `after` at most.
_AFTER_LENGTH: Final = 300

_Entry = TypeVar("_Entry")


@dataclass(frozen=True, kw_only=True)
class Page:
    """Which part of a list is asked for."""

    #: Entries at most.
    limit: int
    #: The key of the last entry of the page before; "": the first page.
    after: str
    #: The list's address and the query that were asked for, without `after`.
    url: str
    query: tuple[tuple[str, str], ...]

    def answer(self, entries: list[Any], last: str | None) -> dict[str, Any]:
        """Return a page's document: its entries, and the next page's address unless `last` is None."""
        if last is None:
            return {"value": entries, "nextLink": None}
        return {"value": entries, "nextLink": f"{self.url}?{urlencode([*self.query, ('after', last)])}"}

    def cut(self, entries: Iterable[_Entry], *, key: Callable[[_Entry], str]) -> tuple[list[_Entry], str | None]:
        """Return the page's entries of a whole list, sorted by their keys, and the last one's key if there are more."""
        rest = sorted((entry for entry in entries if key(entry) > self.after), key=key)
        page = rest[: self.limit]
        return page, key(page[-1]) if len(rest) > len(page) else None

    def follow(self, documents: Sequence[Mapping[str, Any]], *, key: str) -> dict[str, Any]:
        """Return the page's document of a list that has an order of its own; `after` is one of the keys' values.

        Raises:
            Mistake: it is not in the list.

        """
        keys = [str(document[key]) for document in documents]
        if self.after and self.after not in keys:
            raise Mistake(f"after: {self.after!r} is not in the list any more; begin anew without it")
        start = keys.index(self.after) + 1 if self.after else 0
        page = list(documents[start : start + self.limit])
        return self.answer(page, keys[start + len(page) - 1] if len(keys) > start + len(page) else None)


def read_page(
    request: Request,
    limit: Annotated[int, Query(ge=1, le=MOST, description="Entries of the page.")] = DEFAULT_LIMIT,
    after: Annotated[str, Query(max_length=_AFTER_LENGTH, description="The page begins after this entry.")] = "",
) -> Page:
    """Return which part of a list a request asks for."""
    query = tuple((name, value) for name, value in request.query_params.multi_items() if name != "after")
    return Page(limit=limit, after=after, url=f"{request.app.state.address()}{quote(request.url.path)}", query=query)


def names_page(page: Page, documents: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the page of documents that are listed by their names."""
    entries, last = page.cut(documents, key=lambda document: str(document["name"]))
    return page.answer(list(entries), last)


#: The part of a list that is asked for, for a route's parameter.
PageAsked = Annotated[Page, Depends(read_page)]
