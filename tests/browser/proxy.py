"""A small proxy in front of the page, as nginx or the hub put one: with TLS, or with a path of its own."""

import asyncio
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_END = b"\r\n\r\n"


@contextmanager
def proxying(port: int, prefix: str = "", certificate: Path | None = None) -> Iterator[int]:
    """The port of a proxy to `port` that takes `prefix` off each path; with TLS if there is a certificate."""
    loop, ready = asyncio.new_event_loop(), threading.Event()
    found: list[int] = []

    async def serve() -> None:
        context = None
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
        async with await asyncio.start_server(pass_on, "127.0.0.1", 0, ssl=context) as server:
            found.append(server.sockets[0].getsockname()[1])
            ready.set()
            await server.serve_forever()

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(_END)
            upstream, downstream = await asyncio.open_connection("127.0.0.1", port)
            downstream.write(_rewritten(head, prefix.encode()))
            await asyncio.gather(_pipe(reader, downstream), _pipe(upstream, writer))
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(serve(), loop)
    assert ready.wait(10)
    try:
        yield found[0]
    finally:
        asyncio.run_coroutine_threadsafe(_end_all(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def make_certificate(folder: Path) -> Path:
    """A certificate that nobody has signed, with its key."""
    file = folder / "certificate.pem"
    asked = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=test"]
    subprocess.run([*asked, "-keyout", file, "-out", folder / "public.pem"], check=True, capture_output=True)
    file.write_bytes(file.read_bytes() + (folder / "public.pem").read_bytes())
    return file


async def _end_all() -> None:
    """All connections, and the wait for more."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.sleep(0.1)  # until their transports have closed


def _rewritten(head: bytes, prefix: bytes) -> bytes:
    """One request a connection, so that each path passes here; but a websocket goes on."""
    line, _, rest = head.partition(b"\r\n")
    method, path, version = line.split(b" ", 2)
    is_websocket = b"upgrade: websocket" in rest.lower()
    kept = [
        one for one in rest.removesuffix(_END).split(b"\r\n") if is_websocket or not one.lower().startswith(b"connection:")
    ]
    closing = [] if is_websocket else [b"Connection: close"]
    return b"\r\n".join([b" ".join([method, path.removeprefix(prefix) or b"/", version]), *kept, *closing]) + _END


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()
