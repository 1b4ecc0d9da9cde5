"""
What a request costs by each way to send many at once: `python -m benchmarks.transport [--requests N]` prints Markdown.

Owns the ways and the table. The sandbox is a process of its own on the loopback address; each way gets one user again
and again, with so many requests in flight, from this process. The ways over aiohttp need `httpx-aiohttp`, which is no
dependency: without it they are left out.
"""

import argparse
import asyncio
import json
import os
import platform
import ssl
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, contextmanager
from http.client import HTTPConnection
from importlib.util import find_spec
from time import perf_counter, process_time
from urllib.parse import urlsplit

import httpx

from benchmarks.budget import say

USER = "abc"
SHARDS = 8

# Gets an address so many times, with so many in flight.
Way = Callable[[str, dict[str, str], int, int], None]


def in_threads(open_one: Callable[[], Callable[[], int]], count: int, flying: int) -> None:
    """
    Have each of some threads open a connection of its own, and use it until all is done.
    """

    def work(number: int) -> None:
        get = open_one()
        for _ in range(number, count, flying):
            if get() != 200:
                raise RuntimeError("not a success")

    with ThreadPoolExecutor(flying) as pool:
        list(pool.map(work, range(flying)))


def httpx_in_threads(url: str, headers: dict[str, str], count: int, flying: int) -> None:
    """
    One `httpx.Client` a thread, as the job has it.
    """
    tls = ssl.create_default_context()

    def open_one() -> Callable[[], int]:
        client = httpx.Client(headers=headers, verify=tls, timeout=60, limits=httpx.Limits(max_connections=2))
        return lambda: client.get(url).status_code

    in_threads(open_one, count, flying)


def stdlib_in_threads(url: str, headers: dict[str, str], count: int, flying: int) -> None:
    """
    One `http.client.HTTPConnection` a thread: what is left without httpx.
    """
    parts = urlsplit(url)

    def open_one() -> Callable[[], int]:
        connection = HTTPConnection(parts.hostname or "", parts.port, timeout=60)

        def get() -> int:
            connection.request("GET", parts.path, headers=headers)
            answer = connection.getresponse()
            answer.read()
            return answer.status

        return get

    in_threads(open_one, count, flying)


async def in_tasks(gets: list[Callable[[], Awaitable[int]]], count: int, flying: int) -> None:
    """
    Have some tasks take turns at the clients until all is done.
    """

    async def work(number: int) -> None:
        for _ in range(number, count, flying):
            if await gets[number % len(gets)]() != 200:
                raise RuntimeError("not a success")

    await asyncio.gather(*(work(number) for number in range(flying)))


def httpx_async(shards: int, *, over_aiohttp: bool = False) -> Way:
    """
    Some `httpx.AsyncClient` in one event loop, each with its part of the connections.
    """

    async def main(url: str, headers: dict[str, str], count: int, flying: int) -> None:
        limits = httpx.Limits(max_connections=-(-flying // shards))
        async with AsyncExitStack() as stack:
            gets: list[Callable[[], Awaitable[int]]] = []
            for _ in range(shards):
                transport = None
                if over_aiohttp:
                    from httpx_aiohttp import AiohttpTransport  # noqa: PLC0415 - may be absent

                    transport = AiohttpTransport(limits=limits)
                client = httpx.AsyncClient(headers=headers, timeout=60, limits=limits, transport=transport)
                await stack.enter_async_context(client)

                async def get(client: httpx.AsyncClient = client) -> int:
                    return (await client.get(url)).status_code

                gets.append(get)
            await in_tasks(gets, count, flying)

    return lambda *how: asyncio.run(main(*how))


def aiohttp_alone(url: str, headers: dict[str, str], count: int, flying: int) -> None:
    """
    Without httpx's interface.
    """
    import aiohttp  # noqa: PLC0415 - may be absent

    async def main() -> None:
        connector = aiohttp.TCPConnector(limit=flying)
        async with aiohttp.ClientSession(headers=headers, connector=connector) as session:

            async def get() -> int:
                async with session.get(url) as answer:
                    await answer.read()
                    return int(answer.status)

            await in_tasks([get], count, flying)

    asyncio.run(main())


WAYS: dict[str, Way] = {
    "httpx, a client a thread": httpx_in_threads,
    "httpx, one AsyncClient": httpx_async(1),
    f"httpx, {SHARDS} AsyncClients": httpx_async(SHARDS),
}
if find_spec("httpx_aiohttp"):
    WAYS["httpx on the aiohttp transport"] = httpx_async(1, over_aiohttp=True)
    WAYS["aiohttp alone"] = aiohttp_alone
WAYS["http.client, a connection a thread"] = stdlib_in_threads


@contextmanager
def serving() -> Iterator[tuple[str, dict[str, str], Callable[[float], None]]]:
    """
    Run a sandbox with one user; give the user's address, the headers, and how to set the latency in ms.
    """
    command = [sys.executable, "-m", "reconcile.sandbox", "--no-log"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own command
        try:
            assert process.stdout is not None  # noqa: S101 - it is a pipe
            address = json.loads(process.stdout.readline())
            url, headers = address["url"], {"apikey": address["api_key"]}
            control = url.removesuffix("/v3") + "/_sandbox"

            def delay(ms: float) -> None:
                httpx.delete(f"{control}/faults")
                httpx.post(
                    f"{control}/faults", json=[{"kind": "latency", "low_ms": ms, "high_ms": ms}] if ms else []
                )

            httpx.put(f"{control}/limits", json={"core": 10**9, "standard": 10**9})
            httpx.post(f"{url}/users", headers=headers, json={"uid": USER, "name": "A"})
            yield f"{url}/users/{USER}", headers, delay
        finally:
            process.terminate()


def main() -> None:
    """
    Measure every way, and print the table.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=2_000)
    parser.add_argument("--in-flight", type=int, nargs="+", default=[64, 100])
    parser.add_argument("--latency-ms", type=float, nargs="+", default=[0, 200])
    asked = parser.parse_args()
    say(f"{asked.requests:,} requests each; {os.cpu_count()} cores, Python {platform.python_version()}; ")
    say(f"load average {os.getloadavg()[0]:.1f} at the start.\n\n")
    say("| way | in flight | latency, ms | a second | CPU s per 1,000 |\n|---|---|---|---|---|\n")
    with serving() as (url, headers, delay):
        for latency_ms in asked.latency_ms:
            delay(latency_ms)
            for flying in asked.in_flight:
                for name, way in WAYS.items():
                    began, cpu_s = perf_counter(), process_time()
                    way(url, headers, asked.requests, flying)
                    cpu_s, seconds = process_time() - cpu_s, perf_counter() - began
                    rate, each = asked.requests / seconds, 1_000 * cpu_s / asked.requests
                    say(f"| {name} | {flying} | {latency_ms:.0f} | {rate:,.0f} | {each:.2f} |\n")
    say(f"\nLoad average {os.getloadavg()[0]:.1f} at the end.\n")


if __name__ == "__main__":
    main()
