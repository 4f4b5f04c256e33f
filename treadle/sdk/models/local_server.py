"""The program that serves the small local model: llama.cpp's own server on a Unix socket, in a process of its own.

Run as ``python -m treadle.sdk.models.local_server MODEL SOCKET``. It says ``ready`` when it answers, reads no network,
and ends when its standard input does, so that it never outlives whoever started it.
"""

import os
import sys

CONTEXT_TOKENS = 4096


def serve(model: str, socket: str) -> None:
    """Load the model file and answer on the socket until standard input ends."""
    import xllamacpp  # type: ignore[import-untyped,import-not-found,unused-ignore]  # noqa: PLC0415

    params = xllamacpp.CommonParams()
    params.model.path = model
    params.hostnames = [socket]
    params.n_ctx = CONTEXT_TOKENS
    params.n_parallel = 1
    threads = max(1, min(4, os.cpu_count() or 1))
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    # What the makers of SmolLM2 recommend in its model card.
    params.sampling.temp, params.sampling.top_p = 0.2, 0.9
    params.use_jinja = True
    params.warmup = False
    params.offline = True
    server = xllamacpp.Server(params)
    print("ready", server.listening_address, flush=True)
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2])
