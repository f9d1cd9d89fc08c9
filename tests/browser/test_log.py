"""Which errors of a log count: all but those of a kernel that ends, or a page that has gone."""

from __future__ import annotations

import pytest

from tests.browser.log import errors_in

SERVER = "[I 2026-11-24 19:37:08.110 ServerApp] Kernel started\n"
NO_TARGET = "[IPKernelApp] ERROR | No such comm target registered: sspcloud_magics\n"
# As ipykernel 7.4.0 wrote them, when 4 requests for subshells followed upon that for its end.
SOCKET_CLOSED = """--- Logging error ---
Traceback (most recent call last):
  File "/root/.pyenv/versions/3.11.7/lib/python3.11/logging/__init__.py", line 1114, in emit
    self.flush()
  File "/x/.venv/lib/python3.11/site-packages/ipykernel/iostream.py", line 343, in schedule
    self._event_pipe.send(b"")
  File "/x/.venv/lib/python3.11/site-packages/zmq/sugar/socket.py", line 713, in send
    return super().send(data, flags=flags, copy=copy, track=track)
           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "zmq/backend/cython/_zmq.py", line 190, in zmq.backend.cython._zmq._check_rc
zmq.error.ZMQError: Socket operation on non-socket
Call stack:
  File "/x/.venv/lib/python3.11/site-packages/ipykernel/thread.py", line 50, in run
    self.io_loop.close()
  File "/x/.venv/lib/python3.11/site-packages/tornado/platform/asyncio.py", line 337, in close
    super().close(all_fds=all_fds)
Message: "Task was destroyed but it is pending!\\ntask: <Task pending coro=<Kernel.dispatch_control()>"
Arguments: ()
"""
LOOP_CLOSED = """Exception ignored in: <coroutine object Kernel.dispatch_control at 0x7fe00c007970>
Traceback (most recent call last):
  File "/root/.pyenv/versions/3.11.7/lib/python3.11/warnings.py", line 537, in _warn_unawaited_coroutine
    warn(msg, category=RuntimeWarning, stacklevel=2, source=coro)
  File "/x/.venv/lib/python3.11/site-packages/ipykernel/iostream.py", line 784, in write
    self._schedule_flush()
  File "/root/.pyenv/versions/3.11.7/lib/python3.11/asyncio/base_events.py", line 519, in _check_closed
    raise RuntimeError('Event loop is closed')
RuntimeError: Event loop is closed
"""
CONTROL = """[IPKernelApp] ERROR | Exception in control handler:
Traceback (most recent call last):
  File "/x/.venv/lib/python3.11/site-packages/ipykernel/kernelbase.py", line 400, in process_control
    await result
  File "/x/.venv/lib/python3.11/site-packages/ipykernel/kernelbase.py", line 1288, in create_subshell_request
    control_socket.send_json({"type": "create"})
zmq.error.ZMQError: Socket operation on non-socket
"""
PAGE_GONE = """[I 2026-11-24 21:02:09.798 ServerApp] Starting buffering for 89a75a1e-b5dd-4d35-9f76-13f9a9733499
Task exception was never retrieved
future: <Task finished name='Task-2960' coro=<WebSocketProtocol13.write_message.<locals>.wrapper() done>
Traceback (most recent call last):
  File "/x/.venv/lib/python3.11/site-packages/tornado/websocket.py", line 1140, in wrapper
    await fut
tornado.iostream.StreamClosedError: Stream is closed

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/x/.venv/lib/python3.11/site-packages/tornado/websocket.py", line 1142, in wrapper
    raise WebSocketClosedError()
tornado.websocket.WebSocketClosedError
"""
PASSED_ON = """[E 2026-11-30 10:07:04.205 ServerApp] Uncaught exception in ZMQStream callback
    Traceback (most recent call last):
      File "/x/.venv/lib/python3.11/site-packages/zmq/eventloop/zmqstream.py", line 570, in _run_callback
        f = callback(*args, **kwargs)
      File "/x/.venv/lib/python3.11/site-packages/jupyter_server/services/kernels/connection/channels.py", line 634, in _on_zmq_reply
        self.write_message(bin_msg, binary=True)
      File "/x/.venv/lib/python3.11/site-packages/tornado/websocket.py", line 364, in write_message
        raise WebSocketClosedError()
    tornado.websocket.WebSocketClosedError
"""
ENDS = {
    "passed on": PASSED_ON,
    "socket": SOCKET_CLOSED,
    "loop": LOOP_CLOSED,
    "control": CONTROL,
    "page": PAGE_GONE,
}
OURS = '  File "/x/sspcloud_magics/widgets/sidepanel.py", line 60, in refresh\n    comm.send(summary)\n'


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_what_ends_may_be_met_closed(end: str) -> None:
    assert errors_in(SERVER + NO_TARGET + end + SERVER) == []
    assert errors_in(SERVER + end + end + SERVER) == []


@pytest.mark.parametrize("ended", ENDS.values(), ids=ENDS)
def test_line_of_ours_makes_the_error_count_whole(ended: str) -> None:
    ours = ended.replace("(most recent call last):\n", f"(most recent call last):\n{OURS}")
    (error,) = errors_in(SERVER + ours + SERVER)
    assert "sspcloud_magics" in error
    assert ended.splitlines()[-1] in error


def test_any_other_error_counts_with_all_of_its_lines() -> None:
    other = CONTROL.replace("zmq.error.ZMQError: Socket operation on non-socket", "KeyError: 'subshell'")
    assert errors_in(SERVER + other + SERVER) == [other.rstrip()]
    assert errors_in(SERVER + SOCKET_CLOSED + other.split("\n", 1)[1]) != []
    said = "[E 2026-11-24 19:37:07.852 ServerApp] Uncaught exception\n    with a second line\n"
    assert errors_in(SERVER + said + SERVER) == [said.rstrip()]
