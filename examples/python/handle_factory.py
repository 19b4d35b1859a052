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
  python3 examples/python/handle_factory.py
  edda sagas start examples/sagas/handle-factory.json --wait

carver.py, beside it, is where reading as a member of a group is.
"""

from carver import SIZES, run


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


if __name__ == "__main__":
    run("Makes handles.", "handle-requests", "factory", "factory", make)
