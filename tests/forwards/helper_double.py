"""A double of the helper process, which speaks `ipc` without a cluster.

It binds real listeners and echoes what it receives. The target's name says what it shall do, and a
few words sent through the local port make it misbehave at a moment of the test's choosing.
"""

import asyncio
import os
import sys
import threading
from pathlib import Path

from sspcloud_magics.errors import DialFailed, PortTaken
from sspcloud_magics.tunnel import ipc
from sspcloud_magics.tunnel.ipc import ForwardCounters, ForwardState, State


def say(event):
    os.write(1, ipc.encode(event))


class Forward:
    def __init__(self, helper, command):
        self.helper = helper
        self.id = command.forward_id
        self.spec = command.spec
        self.access_id = command.access_id
        self.servers = []
        self.ports = ()
        self.connections = self.open = self.received = self.sent = 0

    def tell(self, state, **more):
        say(ForwardState(self.id, state, pod=f"{self.spec.name}-0", local_ports=self.ports, **more))

    def count(self):
        say(ForwardCounters(self.id, self.sent, self.received, self.open, self.connections))

    async def start(self):
        for port in self.spec.ports:
            for candidate in port.candidates:
                try:
                    self.servers.append(
                        await asyncio.start_server(self.serve, "127.0.0.1", candidate, reuse_address=True)
                    )
                except OSError:
                    continue
                break
            else:
                error = PortTaken(f"The local port {port.candidates[0]} is taken.")
                await self.close()
                self.tell(State.FAILED, error=error.to_wire())
                return
        self.ports = tuple(server.sockets[0].getsockname()[1] for server in self.servers)
        match self.spec.name:
            case "refuses":
                await self.close()
                error = DialFailed("Nothing listens on the port.", why="connection refused")
                self.tell(State.FAILED, error=error.to_wire())
            case "never":
                self.tell(State.STARTING, reason="waiting for a ready pod")
            case "dies-at-start":
                os._exit(3)
            case "wants-credentials" if self.helper.tokens[self.access_id] != "new":
                say(ipc.CredentialsWanted(self.access_id))
            case "refuses-later" if 0 not in self.spec.ports[0].candidates and not self.spec.resume:
                self.tell(State.FAILED, error=DialFailed("Nothing listens on the port.").to_wire())
            case _:
                if self.spec.resume:
                    self.tell(State.RECONNECTING, reason="taken up again")
                self.tell(State.ACTIVE)

    async def close(self):
        for server in self.servers:
            server.close()

    async def serve(self, reader, writer):
        self.connections += 1
        self.open += 1
        self.count()
        try:
            while received := await reader.read(65536):
                self.sent += len(received)
                self.received += len(received)
                match received:
                    case b"die":
                        os._exit(1)
                    case b"reconnect":
                        self.tell(State.RECONNECTING, reason="the pod is gone")
                        self.tell(State.ACTIVE)
                    case b"fail":
                        error = DialFailed("The forward cannot go on.", why="a right is missing")
                        self.tell(State.FAILED, error=error.to_wire())
                        await self.close()
                    case b"nonsense":
                        os.write(1, b'{"is":"Nonsense"}\n\xff\n')
                    case b"token":
                        received = self.helper.tokens[self.access_id].encode()
                    case b"environment":
                        received = repr((dict(os.environ), str(Path.cwd()), sys.path)).encode()
                    case b"wants":
                        say(ipc.CredentialsWanted(self.access_id))
                writer.write(received)
                await writer.drain()
                self.count()
        except OSError:
            pass
        finally:
            self.open -= 1
            self.count()
            writer.close()


class Helper:
    def __init__(self):
        self.tokens = {}
        self.forwards = {}

    async def obey(self, command):
        match command:
            case ipc.SetAccess(access_id, access):
                self.tokens[access_id] = access.token.reveal()
                for forward in list(self.forwards.values()):
                    if forward.access_id == access_id and forward.spec.name == "wants-credentials":
                        forward.tell(State.ACTIVE)
            case ipc.RefuseAccess(access_id, error):
                for forward in list(self.forwards.values()):
                    if forward.access_id == access_id:
                        await forward.close()
                        forward.tell(State.FAILED, error=error)
            case ipc.StartForward(forward_id):
                self.forwards[forward_id] = Forward(self, command)
                await self.forwards[forward_id].start()
            case ipc.StopForward(forward_id):
                if forward_id in self.forwards:
                    await self.forwards.pop(forward_id).close()
                say(ForwardState(forward_id, State.STOPPED))


async def main():
    if "--stubborn" in sys.argv:
        threading.Event().wait(300)  # not for ever: the tests may be killed
    loop = asyncio.get_running_loop()
    helper = Helper()
    queue = asyncio.Queue()

    def read():
        for line in sys.stdin.buffer:
            loop.call_soon_threadsafe(queue.put_nowait, ipc.decode(line))
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    say(ipc.Ready(os.getpid()))
    while True:
        await helper.obey(await queue.get())


if __name__ == "__main__":
    if "--breaks" in sys.argv:
        raise SystemExit("ModuleNotFoundError: No module named 'h11'")
    asyncio.run(main())
