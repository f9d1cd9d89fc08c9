"""The helper process that carries the bytes: protocols, engine, pod selection.

It runs next to the kernel (``python -m sspcloud_magics.tunnel``), because the kernel's GIL would starve a tunnel.
Only light imports are allowed here: the standard library, h11 and the masking routine of websockets.
`ipc` defines the messages between the kernel and the helper.
"""
