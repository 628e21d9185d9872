"""What all hosts and workers share, as one process sees it: records, room, members, files.

Owns this process' connections to them, and its name: no two processes have the same, and none has it again later, so
that what a dead one held is never taken for a living one's. Must be opened after the last fork.
"""

from __future__ import annotations

import os
import secrets
import socket
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias
from urllib.parse import unquote, urlsplit

from imgpool.config import Settings
from imgpool.errors import SettingError
from imgpool.scaleout.database import CONNECTIONS, Database
from imgpool.scaleout.leftovers import Leftovers
from imgpool.scaleout.members import Kind, Members
from imgpool.scaleout.postgres import PostgresRecords
from imgpool.scaleout.room import Room
from imgpool.scaleout.s3 import S3Files
from imgpool.scaleout.shared_directory import SharedDirectory
from imgpool.service.records import StoreError

Store: TypeAlias = S3Files | SharedDirectory


class Cluster:
    """`name` begins with `node`, and a slash. Any thread may use its parts; see theirs for what blocks."""

    def __init__(self, settings: Settings, kind: Kind, node: str, *, connections: int = CONNECTIONS) -> None:
        self.name = f"{node}/{os.getpid()}-{secrets.token_hex(3)}"
        self._kind = kind
        database = Database(settings.database or "", connections=connections)
        self.records = PostgresRecords(database, worker=self.name, lease_s=settings.lease_s)
        self.room = Room(database, host=self.name, lease_s=settings.lease_s)
        self.members = Members(database)
        self.leftovers = Leftovers(database, lease_s=settings.lease_s)
        self.database = database
        self.settings = settings
        self.files: Store

    def open(self) -> None:
        """Connect. Blocks. Raises `SettingError` or `StoreError`; then nothing is open."""
        self.files = open_files(self.settings)
        try:
            self.database.open()
        except BaseException:
            self.files.close()
            raise

    def close(self) -> None:
        """Let go of all; idempotent."""
        self.records.close()
        self.files.close()

    def beat(self, concurrency: int) -> None:
        """Say that this process lives. Blocks; raises `StoreError`."""
        places = self.settings.queue_capacity if self._kind == "web" else None
        self.members.beat(self.name, self._kind, socket.gethostname(), os.getpid(), concurrency, places)

    def configure(self) -> None:
        """Have the room that the setting says, if it is new on this host. Blocks; raises `StoreError`."""
        host = f"{socket.gethostname()}:{self.settings.data_dir.absolute()}"  # no two processes have the same
        self.room.configure(host, self.settings.queue_capacity)

    def leave(self) -> None:
        """Say that it ends. Blocks for seconds when the database is away, which then notices by itself."""
        with suppress(StoreError):  # it is forgotten a little later
            self.members.leave(self.name)


def open_files(settings: Settings) -> Store:
    """The files of all hosts. Blocks. Raises `SettingError`, or `StoreError` when they are away."""
    url = settings.files or ""
    try:
        if url.startswith("s3:"):
            from imgpool.scaleout.bucket import Bucket

            bucket = Bucket(url, settings.s3_endpoint)
            try:
                bucket.check()
            except BaseException:
                bucket.close()
                raise
            return S3Files(bucket, settings.data_dir / "scratch")
        parts = urlsplit(url)
        if parts.netloc not in ("", "localhost"):
            raise SettingError(f"--files: {url!r} is not allowed; allowed: file:///PATH, with three slashes")
        root = Path(unquote(parts.path))
        if not root.is_dir():  # made here, it would be this host's alone where the mount is missing
            raise SettingError(f"--files: {url!r} cannot be used: there is no such directory")
        return SharedDirectory(root)
    except OSError as error:
        raise StoreError(f"the files at {url} cannot be used: {error}") from error
