"""An endpoint that answers after so long, in a process of its own, for what asking costs.

Answers take the latency that is asked for, give or take a share of it that is drawn anew for each, evenly.
"""

import contextlib
import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator

SERVER = """
import asyncio, json, random, sys, time

choice = {"message": {"role": "assistant", "content": "It is cause 1."}, "finish_reason": "stop"}
said = json.dumps({"choices": [choice], "usage": {"prompt_tokens": 50, "completion_tokens": 8}}).encode()
head = b"HTTP/1.1 200 OK\\r\\nContent-Type: application/json\\r\\nContent-Length: %d\\r\\n\\r\\n"
latency, spread = map(float, sys.argv[1:])
seen = {"first": None, "last": None, "open_s": 0.0}

async def serve(reader, writer):
    try:
        while True:
            request = await reader.readuntil(b"\\r\\n\\r\\n")
            length = [line[16:] for line in request.split(b"\\r\\n") if line.lower().startswith(b"content-length: ")]
            await reader.readexactly(int(length[0]) if length else 0)
            if request.startswith(b"GET"):
                body = json.dumps(seen).encode()
                writer.write(head % len(body) + body)
                continue
            came = time.time()
            seen["first"] = seen["first"] or came
            if latency:
                await asyncio.sleep(latency * random.uniform(1 - spread, 1 + spread))
            writer.write(head % len(said) + said)
            seen["last"] = time.time()
            seen["open_s"] += seen["last"] - came
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()

async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=2**20, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()

asyncio.run(main())
"""


@contextlib.contextmanager
def serving(latency: float, spread: float = 0) -> Iterator[str]:
    """Up for the length of a block; gives the address, ending in /v1."""
    with subprocess.Popen(
        [sys.executable, "-c", SERVER, str(latency), str(spread)], stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stdout is not None
            yield f"http://127.0.0.1:{int(server.stdout.readline())}/v1"
        finally:
            server.kill()


def seen(url: str) -> dict[str, float]:
    """When the first request came and the last answer went, in seconds since the epoch, and for how long any were open.

    `open_s` is summed over the requests: as many at a time as there may be, all the time, make it `last - first` times
    as long.
    """
    with urllib.request.urlopen(url) as said:  # noqa: S310
        found: dict[str, float] = json.load(said)
    return found
