"""A line with a delay, for tests/demo: relays TCP connections to an address, each direction by so many milliseconds.

    demo-line.py MILLISECONDS HOST:PORT COUNT_FILE

Prints its own port. Each connection adds a line to COUNT_FILE. What comes first waits for a round trip more: over a
real line the connection would have to be made first.
"""

import asyncio
import sys

delay = float(sys.argv[1]) / 1000
host, port = sys.argv[2].rsplit(":", 1)


async def pump(reader, writer, earliest):
    clock = asyncio.get_running_loop().time
    queue = asyncio.Queue()

    async def send():
        while (item := await queue.get()) is not None:
            due, data = item
            await asyncio.sleep(max(0, due - clock()))
            writer.write(data)
            await writer.drain()
        writer.close()

    sending = asyncio.create_task(send())
    try:
        while data := await reader.read(1 << 16):
            queue.put_nowait((max(clock(), earliest) + delay, data))
    except ConnectionError:
        pass
    queue.put_nowait(None)
    await asyncio.gather(sending, return_exceptions=True)


async def relay(reader, writer):
    with open(sys.argv[3], "a") as count:
        count.write("connection\n")
    made = asyncio.get_running_loop().time() + 2 * delay
    far_reader, far_writer = await asyncio.open_connection(host, int(port))
    await asyncio.gather(pump(reader, far_writer, made), pump(far_reader, writer, 0), return_exceptions=True)


async def main():
    server = await asyncio.start_server(relay, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


asyncio.run(main())
