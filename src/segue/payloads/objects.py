"""Payloads as objects in a bucket: S3 and what speaks like it (MinIO, Ceph, R2), Google Cloud Storage, Azure.

Needs obstore: `pip install 'segue[objects]'`. Its client is made at the first use in each process, so nothing of it is
shared with a fork.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from segue.config import install_command
from segue.errors import ConfigError, PayloadMissingError
from segue.given import shown

TIMEOUT_SECONDS = 30.0
RETRIES = 3
SCHEMES = ("s3", "s3a", "gs", "az", "azure", "abfs", "abfss", "adl")


class ObjectPayloads:
    """A store in a bucket, below a prefix.

    `options` are obstore's: `endpoint`, `region`, `access_key_id`, `secret_access_key` and others. What is left out
    comes from the environment (`AWS_REGION`, `AWS_ENDPOINT_URL` ...) or from the role of the machine. `timeout_seconds`
    bounds each request, which is repeated up to `retries` times.

    Example::

        ObjectPayloads("s3://my-bucket/segue", region="eu-west-1")
    """

    def __init__(
        self, url: str, *, timeout_seconds: float = TIMEOUT_SECONDS, retries: int = RETRIES, **options: str
    ) -> None:  # fmt: skip
        if str(url).partition("://")[0] not in SCHEMES or "://" not in str(url):
            raise ConfigError(
                f"ObjectPayloads({shown(url)}) names no bucket. Give a URL such as s3://bucket/prefix, "
                "gs://bucket/prefix or az://container/prefix."
            )
        self.url = url
        self.options: Mapping[str, str] = options
        self.timeout_seconds = timeout_seconds
        self.retries = retries
        self._made: tuple[int, Any] | None = None  # the process, and its client

    def __repr__(self) -> str:
        return f"ObjectPayloads({self.url!r})"

    def store(self, data: bytes, name: str) -> str:
        """Put an object, unless one of this name and length exists. Returns its key below the prefix."""
        bucket, reference = self._bucket(), f"{name[:2]}/{name}"
        with suppress(FileNotFoundError):
            if bucket.head(reference)["size"] == len(data):
                return reference
        bucket.put(reference, data)
        return reference

    def retrieve(self, reference: str) -> bytes:
        """Get an object. Raises PayloadMissingError."""
        try:
            return bytes(self._bucket().get(reference).bytes())
        except FileNotFoundError as error:
            raise PayloadMissingError(f"there is no object {reference} in {self.url}") from error

    def delete(self, references: Sequence[str]) -> None:
        """Delete objects."""
        bucket = self._bucket()
        try:
            bucket.delete(list(references))
        except FileNotFoundError:  # of some kinds of buckets; others have no opinion on what is gone already
            for reference in references:
                with suppress(FileNotFoundError):
                    bucket.delete(reference)

    def stored_before(self, moment: datetime) -> Iterator[str]:
        """The objects that were put before this time."""
        for batch in self._bucket().list():
            for found in batch:
                if found["last_modified"] < moment:
                    yield str(found["path"])

    def _bucket(self) -> Any:
        if self._made is None or self._made[0] != os.getpid():
            self._made = (os.getpid(), self._open())
        return self._made[1]

    def _open(self) -> Any:
        try:
            from obstore import store as obstore  # noqa: PLC0415 - obstore is optional
        except ImportError as error:
            raise ConfigError(
                f"{self!r} needs obstore, which cannot be imported ({error}). Run: {install_command('objects')}"
            ) from error
        seconds = f"{self.timeout_seconds:g}s"
        client: dict[str, Any] = {"timeout": seconds, "connect_timeout": seconds}
        if str(self.options.get("endpoint", os.environ.get("AWS_ENDPOINT_URL", ""))).startswith("http://"):
            client["allow_http"] = True
        from_url: Any = obstore.from_url  # it has an overload for each kind of bucket
        return from_url(self.url, client_options=client, retry_config={"max_retries": self.retries}, **self.options)
