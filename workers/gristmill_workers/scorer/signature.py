"""A model's input signature in plain words, the same for every MLflow from 1.x on.

MLflow's own schema classes grew over the years (optional columns, nested types, tensors); the readers want only
what is said here, and ask it of one place.
"""

from __future__ import annotations

from typing import Any, Sequence

#: The column types that the readers know how to cast; any other (Array, Object, Map) is left to MLflow.
SCALAR_TYPES = frozenset(["boolean", "integer", "long", "float", "double", "string", "binary", "datetime"])


class Column:
    """One column of a column-based signature (`ColSpec`)."""

    __slots__ = ("name", "optional", "type")

    def __init__(self, name: str | None, type: str, optional: bool) -> None:  # noqa: A002 - MLflow's own word
        """Take the name (None: known by its place), the type ("" where it is nested), and whether it may lack."""
        self.name = name
        self.type = type
        self.optional = optional


class Tensor:
    """One tensor of a tensor-based signature (`TensorSpec`)."""

    __slots__ = ("dtype", "name", "shape")

    def __init__(self, name: str | None, shape: Sequence[int], dtype: Any) -> None:
        """Take the name (None: the only, unnamed input), the shape (-1: any length) and the numpy dtype."""
        self.name = name
        self.shape: tuple[int, ...] = tuple(int(length) for length in shape)
        self.dtype = dtype

    @property
    def batch(self) -> int | None:
        """How many examples one call must have; None where any number will do."""
        return self.shape[0] if self.shape and self.shape[0] > 0 else None

    @property
    def example(self) -> tuple[int, ...]:
        """The shape of one example: without the batch axis."""
        return self.shape[1:]

    def __str__(self) -> str:
        """Return the tensor as messages name it."""
        return f"{self.dtype} {self.shape}"


class Signature:
    """What a model wants: columns, or tensors, or nothing stated (both empty)."""

    def __init__(self, columns: Sequence[Column] = (), tensors: Sequence[Tensor] = ()) -> None:
        """Take the columns or the tensors, in order."""
        self.columns = tuple(columns)
        self.tensors = tuple(tensors)

    @property
    def tensor(self) -> Tensor | None:
        """The one tensor that the model takes; None without tensors, and with several."""
        return self.tensors[0] if len(self.tensors) == 1 else None


def read_signature(model: Any) -> Signature:
    """Return the signature of a model that `mlflow.pyfunc.load_model` gave."""
    metadata = getattr(model, "metadata", None)
    schema = metadata.get_input_schema() if metadata is not None else None
    if schema is None:
        return Signature()
    if schema.is_tensor_spec():
        return Signature(tensors=[Tensor(spec.name, spec.shape, spec.type) for spec in schema.inputs])
    return Signature(columns=[_column(spec) for spec in schema.inputs])


def _column(spec: Any) -> Column:
    name = getattr(spec.type, "name", "")
    optional = getattr(spec, "optional", None)
    if optional is None:
        optional = not getattr(spec, "required", True)
    return Column(spec.name, name if name in SCALAR_TYPES else "", bool(optional))
