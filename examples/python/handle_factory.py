#!/usr/bin/env python3
"""The handle factory: a step of a saga that is a message on a stream, in Python, with
the standard library alone.

It reads requests from the stream "handle-requests", as a member of the group "factory",
and answers each on "handles", or on "handle-failures" when there is no such size. It
knows nothing of sagas but the three extensions of a CloudEvent that it sends back:
sagaid, stepid and completionkey. Any number of factories share the work. When one is
killed in the middle of a handle, another one gets the request a while later; the answer
has the id of the request, so it is there once.

  edda dev --example
  python3 handle_factory.py
  edda sagas start ../sagas/handle-factory.json --wait

carver.py, beside it, is where reading as a member of a group is.
"""

import argparse
import os
import signal
import sys
import time

from carver import SIZES, Edda, Group, Refused


def answer(edda, stream, kind, request, data):
    """Appends the answer to a request, as a CloudEvent in binary mode."""
    order = request["data"]
    edda.ask(
        "POST",
        "/v1/streams/" + stream,
        data,
        {
            "ce-specversion": "1.0",
            "ce-id": request["id"],
            "ce-source": "/handle-factory",
            "ce-type": kind,
            "ce-sagaid": order["sagaId"],
            "ce-stepid": order["stepId"],
            "ce-completionkey": order["completionKey"],
        },
    )


def make(edda, request):
    """Does the work of one request."""
    if request["type"] != "make-handle":
        return  # not for us: it is acknowledged, and that is all
    args = request["data"]["args"]
    size = args[0] if args else None
    if size in SIZES:
        handle = {"handleId": "handle-" + request["id"], "size": size}
        answer(edda, "handles", "handle-made", request, handle)
    else:
        why = {"reason": "NO_SIZE", "message": f"no handle has the size {size}"}
        answer(edda, "handle-failures", "handle-failed", request, why)


def main():
    parser = argparse.ArgumentParser(description="Makes handles.")
    parser.add_argument("--edda", default=os.environ.get("EDDA_URL", "http://127.0.0.1:7400"), metavar="URL")
    parser.add_argument("--member", default=f"factory-{os.getpid()}", metavar="NAME")
    parser.add_argument("--timeout", default="30s", help="until what a factory has is given to another")
    parser.add_argument("--takes", type=float, default=0, metavar="SECONDS", help="how long a handle takes")
    options = parser.parse_args()

    edda = Edda(options.edda, os.environ.get("EDDA_TOKEN"))
    group = Group(edda, "handle-requests", "factory", options.member)
    try:
        group.create(**{"from": "start", "processingTimeout": options.timeout})
        print("carving as", options.member, flush=True)
        while True:
            for request in group.read(1):
                print("has", request["id"], flush=True)
                time.sleep(options.takes)
                try:
                    make(edda, request)
                except Exception as error:  # whatever it is, another try may do
                    group.reject(request, str(error))
                else:
                    group.ack(request)
                    print("did", request["id"], flush=True)
    except Refused as refused:
        sys.exit(f"{options.edda}: {refused}")


if __name__ == "__main__":
    signal.signal(signal.SIGINT, lambda *_: sys.exit(0))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    main()
