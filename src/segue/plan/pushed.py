"""What a step needs at an executor that is polled, besides its arguments: the column `spec` of its row. Pure."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from segue.errors import DefinitionError
from segue.given import shown

DISPATCHER_POOL = "dispatcher"
"""The pool of a dispatcher's row among the workers."""

_UNITS = {"": 1, "k": 1000, "m": 1000**2, "g": 1000**3, "t": 1000**4,
          "ki": 1024, "mi": 1024**2, "gi": 1024**3, "ti": 1024**4}  # fmt: skip
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]i?)?b?\s*", re.IGNORECASE)
_WORD = re.compile(r"[A-Za-z0-9_.-]{1,100}")


def size_of(name: str, given: object) -> int:
    """A size in bytes. Raises DefinitionError."""
    found = _SIZE.fullmatch(given) if isinstance(given, str) else None
    if found is not None:
        size = int(float(found[1]) * _UNITS[(found[2] or "").lower()])
    elif isinstance(given, int) and not isinstance(given, bool):
        size = given
    else:
        raise DefinitionError(f"{name}={shown(given)} is not a size; write bytes, or a text such as '8GiB' or '500MB'")
    if not 2**20 <= size <= 2**60:
        raise DefinitionError(f"{name}={shown(given)} is {size:,} bytes; give 1 MiB to 1 EiB, such as '8GiB'")
    return size


def _whole(name: str, given: object, *, least: int) -> None:
    if isinstance(given, bool) or not isinstance(given, int) or not least <= given <= 100_000:
        raise DefinitionError(f"{name}={shown(given)} is not a whole number from {least} to 100000")


class Resources(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one attempt may use. Sizes are bytes, or texts such as "8GiB" and "500MB".

    Example::

        @task(executor="hpc", resources=Resources(cpu=4, memory="8GiB", gpu=1))
        def fold(sequence: str) -> dict: ...

    Raises DefinitionError for a value that makes no sense.
    """

    cpu: int | None = None  # cores
    memory: int | str | None = None
    gpu: int = 0
    gpu_type: str | None = None
    tmp: int | str | None = None  # on the machine's own disk

    def __post_init__(self) -> None:
        if self.cpu is not None:
            _whole("cpu", self.cpu, least=1)
        _whole("gpu", self.gpu, least=0)
        for name in ("memory", "tmp"):
            given = getattr(self, name)
            if given is not None:
                size_of(name, given)
        kind: object = self.gpu_type
        if kind is not None and not (isinstance(kind, str) and _WORD.fullmatch(kind)):
            raise DefinitionError(f"gpu_type={shown(self.gpu_type)} is not the name of a kind of GPU; write 'a100'")
        if self.gpu_type is not None and not self.gpu:
            raise DefinitionError(f"gpu_type={self.gpu_type!r} without gpu asks for nothing; add gpu=1")

    @property
    def memory_bytes(self) -> int | None:
        """The memory in bytes."""
        return None if self.memory is None else size_of("memory", self.memory)

    @property
    def tmp_bytes(self) -> int | None:
        """The space on the machine's own disk in bytes."""
        return None if self.tmp is None else size_of("tmp", self.tmp)


class PushSpec(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a step needs at its executor. `options` are the executor's own."""

    resources: Resources = Resources()
    options: dict[str, Any] = {}


_encoder = msgspec.json.Encoder(order="sorted")
_decoder = msgspec.json.Decoder(PushSpec)


def queue_of(executor: str) -> str:
    """The queue on which the steps of a polled executor wait."""
    return f"@{executor}"


def encode_spec(spec: PushSpec) -> str | None:
    """The spec as it is stored; None if it says nothing."""
    return None if spec == PushSpec() else _encoder.encode(spec).decode()


def decode_spec(text: str | None) -> PushSpec:
    """A stored spec. Raises DefinitionError for one that cannot be read."""
    if text is None:
        return PushSpec()
    try:
        return _decoder.decode(text)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise DefinitionError(f"what the step needs at its executor cannot be read: {error}") from None
