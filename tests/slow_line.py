"""A slow line to a server, for browsers whose tools have none: bytes towards the server pass at a set rate."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self

PIECE_BYTES = 16 * 1024
WAIT_S = 120.0  # nothing waits this long unless it fails


class SlowLine:
    """`with SlowLine(server.port, 400_000) as line:` is the server at `line.url`; `line.bytes_per_s = None` is fast."""

    def __init__(self, port: int, bytes_per_s: int | None) -> None:
        self.bytes_per_s = bytes_per_s
        self._port = port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="slow-line")

    def __enter__(self) -> Self:
        self._thread.start()
        starting = asyncio.run_coroutine_threadsafe(asyncio.start_server(self._connect, "127.0.0.1", 0), self._loop)
        self._listener = starting.result(WAIT_S)
        self.url = f"http://127.0.0.1:{self._listener.sockets[0].getsockname()[1]}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(WAIT_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(WAIT_S)
        self._loop.close()

    async def _end(self) -> None:
        self._listener.close()
        open_ones = asyncio.all_tasks() - {asyncio.current_task()}
        for task in open_ones:
            task.cancel()
        await asyncio.gather(*open_ones, return_exceptions=True)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            answers, requests = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            writer.close()
            return
        with suppress(asyncio.CancelledError):  # at the end; asyncio would log it as an error of this callback
            await asyncio.gather(self._pass(reader, requests, slowly=True), self._pass(answers, writer, slowly=False))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, slowly: bool) -> None:
        try:
            while piece := await reader.read(PIECE_BYTES):
                if slowly and self.bytes_per_s:
                    await asyncio.sleep(len(piece) / self.bytes_per_s)
                writer.write(piece)
                await writer.drain()
        except OSError:
            pass  # one side is gone, so the other goes, too
        finally:
            writer.close()
