"""The helper process that carries the bytes: protocols, engine, choice of the pod.

It runs beside the kernel (``python -m sspcloud_magics.tunnel``), because the kernel's interpreter lock
starves a tunnel. Only light imports are allowed here: the standard library, h11 and the masking
routine of websockets. `ipc` is the language that it and the kernel speak over a private pipe.
"""
