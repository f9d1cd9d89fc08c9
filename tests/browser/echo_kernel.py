"""A kernel without Python, which echoes its input."""

from __future__ import annotations

from typing import Any

from ipykernel.kernelapp import IPKernelApp
from ipykernel.kernelbase import Kernel


class Echo(Kernel):
    implementation = "Echo"
    implementation_version = "1"
    language = "echo"
    language_version = "1"
    language_info: dict[str, Any] = {"name": "echo", "mimetype": "text/plain", "file_extension": ".txt"}  # noqa: RUF012 - as the base class has it
    banner = "Echo"

    async def do_execute(self, *_arguments: Any, **_options: Any) -> dict[str, Any]:
        return {
            "status": "ok",
            "execution_count": self.execution_count,
            "payload": [],
            "user_expressions": {},
        }


if __name__ == "__main__":
    IPKernelApp.launch_instance(kernel_class=Echo)
