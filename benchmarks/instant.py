"""An endpoint that answers after so long, in a process of its own, for what asking costs."""

import contextlib
import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator

SERVER = """
import asyncio, json, sys, time

choice = {"message": {"role": "assistant", "content": "It is cause 1."}, "finish_reason": "stop"}
said = json.dumps({"choices": [choice], "usage": {"prompt_tokens": 50, "completion_tokens": 8}}).encode()
head = b"HTTP/1.1 200 OK\\r\\nContent-Type: application/json\\r\\nContent-Length: %d\\r\\n\\r\\n"
latency, first = float(sys.argv[1]), None

async def serve(reader, writer):
    global first
    try:
        while True:
            request = await reader.readuntil(b"\\r\\n\\r\\n")
            length = [line[16:] for line in request.split(b"\\r\\n") if line.lower().startswith(b"content-length: ")]
            await reader.readexactly(int(length[0]) if length else 0)
            if request.startswith(b"GET"):
                body = json.dumps(first).encode()
            else:
                first, body = first or time.time(), said
                if latency:
                    await asyncio.sleep(latency)
            writer.write(head % len(body) + body)
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()

async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=2**20, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()

asyncio.run(main())
"""


@contextlib.contextmanager
def serving(latency: float) -> Iterator[str]:
    """Up for the length of a block; gives the address, ending in /v1."""
    with subprocess.Popen([sys.executable, "-c", SERVER, str(latency)], stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            yield f"http://127.0.0.1:{int(server.stdout.readline())}/v1"
        finally:
            server.kill()


def first(url: str) -> float:
    """When the first request came, in seconds since the epoch."""
    with urllib.request.urlopen(url) as said:  # noqa: S310
        return float(json.load(said))
