"""What a request costs the client, without anybody's server.

    python benchmarks/client.py [IN_FLIGHT]       requests in flight; as many as a run's worker has if not given

Asks a server that answers at once, in a process of its own whose CPU time does not count, through the project's own
client: a judge's question and a judge's answer in size. Medians of repeats. The last line is one JSON object:
cpu_ms_per_request (CPU time of this process alone), requests_per_s, in_flight, and at_once (the most requests that the
server had open when it holds each one for a moment: whether the client keeps its connections busy).
"""

import asyncio
import json
import statistics
import subprocess
import sys
import time

import machine

from orchestrator.client import Client
from orchestrator.config import Resources

COUNT, REPEATS = 2000, 5
QUESTION = [{"role": "user", "content": "Grade this. " * 150}]
HELD = 0.02
"""Seconds for which the server holds a request while at_once is counted."""

SERVER = """
import asyncio, json, sys

said = json.dumps({"choices": [{"message": {"role": "assistant", "content": "CORRECT"}, "finish_reason": "stop"}],
                   "usage": {"prompt_tokens": 500, "completion_tokens": 1}}).encode()
head = b"HTTP/1.1 200 OK\\r\\nContent-Type: application/json\\r\\nContent-Length: %d\\r\\n\\r\\n"
open_now = most = 0

async def serve(reader, writer):
    global open_now, most
    try:
        while True:
            request = await reader.readuntil(b"\\r\\n\\r\\n")
            length = [line[16:] for line in request.split(b"\\r\\n") if line.lower().startswith(b"content-length: ")]
            await reader.readexactly(int(length[0]) if length else 0)
            body = said
            if request.startswith(b"GET"):
                body = str(most).encode()
            elif b"/held/" in request.split(b"\\r\\n")[0]:
                open_now += 1
                most = max(most, open_now)
                await asyncio.sleep(float(sys.argv[1]))
                open_now -= 1
            writer.write(head % len(body) + body)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()

async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=2**20)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()

asyncio.run(main())
"""


async def ask(url: str, in_flight: int, count: int) -> tuple[float, float]:
    """CPU seconds of this process and seconds on the clock for so many requests; connections are opened before."""
    async with Client(url, "a-key-of-some-length", in_flight) as client:
        await asyncio.gather(*(client.chat("judge", QUESTION, temperature=0) for _ in range(in_flight)))
        cpu, clock = time.process_time(), time.perf_counter()
        await asyncio.gather(*(client.chat("judge", QUESTION, temperature=0) for _ in range(count)))
        return time.process_time() - cpu, time.perf_counter() - clock


async def most_at_once(port: int, in_flight: int) -> int:
    """How many requests the server had open at once while it held each one for a moment."""
    await ask(f"http://127.0.0.1:{port}/held/v1", in_flight, 4 * in_flight)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /most HTTP/1.1\r\nHost: here\r\n\r\n")
    await reader.readuntil(b"\r\n\r\n")
    found = int(await reader.read(16))
    writer.close()
    return found


def figures(port: int, in_flight: int) -> dict[str, float]:
    found = [asyncio.run(ask(f"http://127.0.0.1:{port}/v1", in_flight, COUNT)) for _ in range(REPEATS)]
    cpu, clock = (statistics.median(each) for each in zip(*found, strict=True))
    return {
        "cpu_ms_per_request": round(1000 * cpu / COUNT, 3),
        "requests_per_s": round(COUNT / clock),
        "in_flight": in_flight,
        "at_once": asyncio.run(most_at_once(port, in_flight)),
    }


def main() -> None:
    in_flight = int(sys.argv[1]) if len(sys.argv) > 1 else Resources().in_flight
    with subprocess.Popen([sys.executable, "-c", SERVER, str(HELD)], stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            found = figures(int(server.stdout.readline()), in_flight)
        finally:
            server.kill()
    print(machine.here())
    print(json.dumps(found))


if __name__ == "__main__":
    main()
