"""Sends tasks and tells of their ends: lines of JSON on standard input and output. Ends with its input.

In:  {"id": 1, "params": {...}}    Out: {"acked": 1}    {"ended": 1, "result": {...}}
"""

import json
import os
import select
import sys

from celery_app import app, bench


def write(message):
    sys.stdout.write(json.dumps(message) + "\n")


def submit(line):
    job = json.loads(line)
    answer = bench.apply_async((job["params"],))
    write({"acked": job["id"]})
    answer.then(lambda done: write({"ended": job["id"], "result": done.result}))


def subscription():
    """What Celery listens to for results, while there are any to come: without one it reads nothing."""
    pubsub = app.backend.result_consumer._pubsub
    return pubsub if pubsub is not None and pubsub.subscribed else None


def take_results():
    while (pubsub := subscription()) and pubsub.connection.can_read(timeout=0):
        app.backend.result_consumer.drain_events(timeout=0)


unread = b""
while True:
    pubsub = subscription()
    readers = [0] if pubsub is None else [0, pubsub.connection._sock]
    readable, _, _ = select.select(readers, [], [])
    if 0 in readable:
        chunk = os.read(0, 65536)
        if not chunk:
            break
        *lines, unread = (unread + chunk).split(b"\n")
        for one in lines:
            submit(one)
    take_results()
    sys.stdout.flush()
