"""A double of a kernel with one open forward: prints one JSON line, then does what its argument says.

wait        until its standard input ends, then leaves by the end of the program
raise       leaves by an exception
worker      as wait, while a forked multiprocessing worker lives
child       forks a child that looks at its parent's forwards and makes its own
"""

import json
import multiprocessing
import os
import sys
import time

from sspcloud_magics.forwards import ForwardManager
from sspcloud_magics.target import PortText, Target
from tests.forwards.stage import Person, double, helpers, say


def sleep():
    time.sleep(600)


def report(**facts):
    print(json.dumps(facts), flush=True)  # noqa: T201 - the test reads it


def main(what):
    manager = ForwardManager(double)
    forward = manager.forward(Person(), Target("user-bob", "pod", "echo"), [PortText(8000, 0)])
    (helper,) = helpers()
    facts = {"port": forward.local_port, "helper": helper.pid}
    if what == "worker":
        worker = multiprocessing.get_context("fork").Process(target=sleep, daemon=True)
        worker.start()
        facts["worker"] = worker.pid
    if what == "child":
        pid = os.fork()
        if pid == 0:
            seen = [repr(each) for each in manager.forwards()]
            forward.stop()
            own = manager.forward(Person(), Target("user-bob", "pod", "echo"), [PortText(8000, 0)])
            report(seen=seen, answer=say(own, b"child").decode(), parents=say(forward, b"parent").decode())
            manager.close()
            os._exit(0)
        os.waitpid(pid, 0)
        facts["state"] = str(forward.state)
        facts["answer"] = say(forward, b"still").decode()
    report(**facts)
    if what == "raise":
        raise ZeroDivisionError
    sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1])
