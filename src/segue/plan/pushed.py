"""What a step needs at an executor that is polled, besides its arguments: the column `spec` of its row. Pure."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from segue.errors import DefinitionError
from segue.given import shown

DISPATCHER_POOL = "dispatcher"
"""The pool of a dispatcher's row among the workers."""

OUT_OF_MEMORY = "OutOfMemoryError"
"""The type of the error of an attempt that used more memory than its platform gave it."""

_UNITS = {"": 1, "k": 1000, "m": 1000**2, "g": 1000**3, "t": 1000**4,
          "ki": 1024, "mi": 1024**2, "gi": 1024**3, "ti": 1024**4}  # fmt: skip
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]i?)?b?\s*", re.IGNORECASE)
MOST_BYTES = 2**60
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
    if not 2**20 <= size <= MOST_BYTES:
        raise DefinitionError(f"{name}={shown(given)} is {size:,} bytes; give 1 MiB to 1 EiB, such as '8GiB'")
    return size


def _whole(name: str, given: object, *, least: int) -> None:
    if isinstance(given, bool) or not isinstance(given, int) or not least <= given <= 100_000:
        raise DefinitionError(f"{name}={shown(given)} is not a whole number from {least} to 100000")


class Resources(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one attempt may use. Sizes are bytes, or texts such as "8GiB" and "500MB".

    With `memory_factor`, an attempt gets so many times the memory for each earlier one that ran out of it, up to
    `memory_max`.

    Example::

        @task(executor="hpc", resources=Resources(cpu=4, memory="8GiB", memory_factor=2, memory_max="60GiB"), retries=3)
        def fold(sequence: str) -> dict: ...

    Raises DefinitionError for a value that makes no sense.
    """

    cpu: int | None = None  # cores
    memory: int | str | None = None
    gpu: int = 0
    gpu_type: str | None = None
    tmp: int | str | None = None  # on the machine's own disk
    memory_factor: float = 1.0
    memory_max: int | str | None = None

    def __post_init__(self) -> None:
        if self.cpu is not None:
            _whole("cpu", self.cpu, least=1)
        _whole("gpu", self.gpu, least=0)
        for name in ("memory", "tmp", "memory_max"):
            given = getattr(self, name)
            if given is not None:
                size_of(name, given)
        kind: object = self.gpu_type
        if kind is not None and not (isinstance(kind, str) and _WORD.fullmatch(kind)):
            raise DefinitionError(f"gpu_type={shown(self.gpu_type)} is not the name of a kind of GPU; write 'a100'")
        if self.gpu_type is not None and not self.gpu:
            raise DefinitionError(f"gpu_type={self.gpu_type!r} without gpu asks for nothing; add gpu=1")
        self._check_factor()

    def _check_factor(self) -> None:
        factor: object = self.memory_factor
        if isinstance(factor, bool) or not isinstance(factor, (int, float)) or not 1 <= factor <= 100:
            raise DefinitionError(f"memory_factor={shown(factor)} is not a number from 1 to 100; write 2 to double it")
        if self.memory is None and (factor != 1 or self.memory_max is not None):
            raise DefinitionError(
                "memory_factor and memory_max are about memory, which is not given; add memory='8GiB'"
            )
        if self.memory_max is not None and size_of("memory_max", self.memory_max) < (self.memory_bytes or 0):
            raise DefinitionError(f"memory_max={shown(self.memory_max)} is less than memory={shown(self.memory)}")

    @property
    def memory_bytes(self) -> int | None:
        """The memory in bytes."""
        return None if self.memory is None else size_of("memory", self.memory)

    @property
    def tmp_bytes(self) -> int | None:
        """The space on the machine's own disk in bytes."""
        return None if self.tmp is None else size_of("tmp", self.tmp)

    def after(self, out_of_memory: int) -> Resources:
        """What an attempt gets when so many earlier ones ran out of memory."""
        memory = self.memory_bytes
        if memory is None or self.memory_factor == 1 or not out_of_memory:
            return self
        most = MOST_BYTES if self.memory_max is None else size_of("memory_max", self.memory_max)
        raised = memory * self.memory_factor ** min(out_of_memory, 60)
        return msgspec.structs.replace(self, memory=int(min(raised, most)))


class PushSpec(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a step needs at its executor. `options` are the executor's own."""

    resources: Resources = Resources()
    options: dict[str, Any] = {}


_encoder = msgspec.json.Encoder(order="sorted")
_decoder = msgspec.json.Decoder(PushSpec)


def queue_of(executor: str) -> str:
    """The queue on which the steps of a polled executor wait."""
    return f"@{executor}"


def grows(spec: str | None) -> bool:
    """Whether a stored spec gives more memory after attempts that ran out of it. It reads nothing else of it."""
    return spec is not None and '"memory_factor"' in spec


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
