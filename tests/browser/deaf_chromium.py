#!/usr/bin/env python3
"""Run the browser in $CHROMIUM without notifications about the machine's network interfaces.

Chromium fails all requests that wait for a connection with ERR_NETWORK_CHANGED when an interface of the machine
appears or disappears, as those of containers do all the time; no option turns that off. It is notified through a
netlink socket, and works without one. seccomp, which needs no privilege, therefore refuses such sockets to this
process and its children.
"""

import ctypes
import errno
import os
import platform
import struct
import sys

# Numbers of Linux: of the machine as seccomp names it, and of its system call `socket`.
MACHINES = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}
AF_NETLINK = 16
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, REFUSE = 0x7FFF0000, 0x00050000
# Offsets in the data of a system call that a filter inspects.
NUMBER, MACHINE, FIRST_ARGUMENT = 0, 4, 16


class Program(ctypes.Structure):
    """A filter, as prctl takes it."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


def instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    """Return an instruction of a filter; both jumps count the instructions that are left out."""
    return struct.pack("HBBI", code, if_true, if_false, value)


def refuse_netlink() -> None:
    """Let `socket(AF_NETLINK, …)` fail in this process and its children, as where Linux lacks it."""
    machine, socket = MACHINES[platform.machine()]
    code = b"".join(
        [
            instruction(LOAD, MACHINE),
            instruction(JUMP_IF_EQUAL, machine, 0, 5),
            instruction(LOAD, NUMBER),
            instruction(JUMP_IF_EQUAL, socket, 0, 3),
            instruction(LOAD, FIRST_ARGUMENT),
            instruction(JUMP_IF_EQUAL, AF_NETLINK, 0, 1),
            instruction(RETURN, REFUSE | errno.EAFNOSUPPORT),
            instruction(RETURN, ALLOW),
        ]
    )
    kept = ctypes.create_string_buffer(code, len(code))
    program = Program(len(code) // len(instruction(0, 0)), ctypes.addressof(kept))
    libc = ctypes.CDLL(None, use_errno=True)
    for order in (
        (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
        (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0),
    ):
        if libc.prctl(*order):
            raise OSError(ctypes.get_errno(), "prctl")


if __name__ == "__main__":
    if platform.machine() in MACHINES:
        refuse_netlink()
    browser = os.environ["CHROMIUM"]
    os.execv(browser, [browser, *sys.argv[1:]])  # noqa: S606
