"""The Celery application of the benchmark: one task, on the Redis that REDIS_URL names, results in the same one.

As its guide sets it up for jobs that must not be lost: acknowledged after the job.
"""

import os
import signal
import sys
import threading
import time

from celery import Celery, signals

app = Celery("bench", broker=os.environ["REDIS_URL"], backend=os.environ["REDIS_URL"])
app.conf.update(task_acks_late=True, result_expires=60, broker_connection_retry_on_startup=True)


@app.task(name="bench")
def bench(params):
    """A result of 188 bytes. The clock is the one that Node's process.hrtime reads."""
    return {
        "started_ms": time.monotonic_ns() / 1e6,
        "seed": params["seed"],
        "image_url": "https://images.example.com/2026/11/22/4f1d7a1c-0f54-4a61-a7c3-8b1d2e3f4a5b.png",
        "width": 1024,
        "height": 1024,
        "nsfw": False,
        "v": "x26.11",
    }


def end_with_parent():
    """The parent holds the other end of standard input, and never writes."""
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGQUIT)


@signals.worker_ready.connect
def on_ready(**_):
    threading.Thread(target=end_with_parent, daemon=True).start()
    os.write(3, b"ready\n")
