"""The baseline: what one would write in an afternoon with `websockets` and botocore's signer.

python plain.py stdio|PORT ENDPOINT_HOST:PORT ENDPOINT_ID ADDRESS
"""

import asyncio
import os
import ssl
import sys

import botocore.session
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from websockets.asyncio.client import ClientConnection, connect

mode, host, endpoint, address = sys.argv[1:]
session = botocore.session.get_session()
tls = ssl.create_default_context(cafile=os.environ.get("AWS_CA_BUNDLE"))


def dial() -> connect:
    request = AWSRequest(
        "GET",
        f"https://{host}/openTunnel",
        params={"instanceConnectEndpointId": endpoint, "remotePort": "22", "privateIpAddress": address},
    )
    credentials = session.get_credentials().get_frozen_credentials()  # type: ignore[union-attr]
    SigV4QueryAuth(credentials, "ec2-instance-connect", "us-east-1", expires=60).add_auth(request)
    url = str(request.url).replace("https", "wss", 1)
    return connect(url, ssl=tls, compression=None, max_size=None, proxy=None)


async def up(reader: asyncio.StreamReader, tunnel: ClientConnection) -> None:
    while data := await reader.read(65000):
        await tunnel.send(data)
    await tunnel.close()


async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    async with dial() as tunnel:
        sending = asyncio.create_task(up(reader, tunnel))
        async for data in tunnel:
            writer.write(data)  # type: ignore[arg-type]
            await writer.drain()
        sending.cancel()
    writer.close()


async def main() -> None:
    if mode != "stdio":
        async with await asyncio.start_server(carry, "127.0.0.1", int(mode)) as server:
            print("listening", flush=True)
            await server.serve_forever()
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    transport, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, sys.stdout)
    await carry(reader, asyncio.StreamWriter(transport, protocol, reader, loop))


asyncio.run(main())
