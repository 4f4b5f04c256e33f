"""The workloads, by name. Each runs in a process of its own, on a data folder of its own."""

from collections.abc import Awaitable, Callable
from pathlib import Path

from benchmarks.figures import Measured
from benchmarks.workloads import builder, latency, life, live, memory, serving, throughput, uploading, waiting

Workload = Callable[[Path, bool], Awaitable[list[Measured]]]
"""Given an empty data folder and whether to be quick."""

WORKLOADS: dict[str, Workload] = {
    "chain": throughput.chains,
    "items": throughput.thousand_items,
    "many-items": throughput.many_items,
    "queued": memory.queued_numbers,
    "queued-texts": memory.queued_texts,
    "effects": throughput.effects,
    "effect-alone": throughput.effect_alone,
    "http-waits": waiting.http_waits,
    "timers": waiting.timers,
    "latency": latency.latency,
    "runs": latency.runs_per_second,
    "api-runs": serving.api_runs,
    "api-list": serving.api_list,
    "live": live.two_each,
    "live-wide": live.twenty_each,
    "live-sse": live.streams,
    "api-library": serving.api_library,
    "upload": uploading.upload,
    "blocks-catalogue": builder.catalogue,
    "stop": life.stop,
    "recovery": life.recovery,
    "start": life.start,
}
