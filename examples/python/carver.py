#!/usr/bin/env python3
"""A member of a consumer group in Python, with the standard library alone.

It consumes the stream "handles" in the group "carvers": takes a message, carves a
handle of the size it asks for, appends head and handle to the stream "assembly", and
acknowledges. Any number of carvers share the work. When one is killed in the middle
of a handle, another one gets the message a while later (the group's processing
timeout) and carves it anew; what is appended has the id of the message, so that a
handle which was carved twice is in "assembly" once.

Forge, in streams.go beside this directory, has the services before and after it.

  edda dev
  python3 examples/python/carver.py
"""

import argparse
import http.client
import json
import os
import signal
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

SIZES = ("short", "long")


class Refused(Exception):
    """The node has answered, and will answer the same again."""


class Edda:
    def __init__(self, url, token=None):
        self.url = url.rstrip("/")
        self.token = token

    def ask(self, method, path, body=None, headers=None, timeout=60):
        """Asks until there is an answer: all that is asked here may be asked twice."""
        headers = {"Content-Type": "application/json", **(headers or {})}
        if self.token:
            headers["Authorization"] = "Bearer " + self.token
        data = None if body is None else json.dumps(body).encode()
        while True:
            request = urllib.request.Request(self.url + path, data=data, headers=headers, method=method)
            try:
                with urllib.request.urlopen(request, timeout=timeout) as response:
                    return json.loads(response.read() or "null")
            except urllib.error.HTTPError as error:
                answer = error.read().decode(errors="replace")
                if error.code < 500 and error.code != 429:
                    raise Refused(answer) from error
            except (OSError, http.client.HTTPException):
                pass  # the node is away, or went in the middle of the answer
            time.sleep(0.5)

    def append(self, stream, message, body, kind, shard=None):
        """Appends what came of a message, under its id, to a stream."""
        headers = {"Edda-Type": kind, "Edda-Id": message["id"]}
        if "key" in message:
            headers["Edda-Key"] = urllib.parse.quote(message["key"], safe="")
        if shard:
            headers["Edda-Shard"] = shard
        elif "replyTo" in message:
            headers["Edda-Reply-To"] = message["replyTo"]
        return self.ask("POST", "/v1/streams/" + stream, body, headers)


class Group:
    def __init__(self, edda, stream, name, member):
        self.edda, self.stream, self.member = edda, stream, member
        self.path = f"/v1/streams/{stream}/groups/{name}"

    def create(self, **settings):
        """Creates the group, and its stream; one that is there is changed."""
        return self.edda.ask("PUT", self.path, settings)

    def read(self, most, wait="30s"):
        body = {"member": self.member, "max": most, "wait": wait}
        return self.edda.ask("POST", self.path + "/read", body)["items"]

    def ack(self, message):
        return self.edda.ask("POST", self.path + "/ack", {"leases": [message["lease"]]})

    def reject(self, message, error):
        body = {"leases": [message["lease"]], "error": error}
        return self.edda.ask("POST", self.path + "/reject", body)


def carve(edda, message):
    """Does the work of one message."""
    order = message["data"]
    if message["type"] != "carve":
        return  # not for us: it is acknowledged, and that is all
    if order["size"] not in SIZES:
        # No other carver will find one: whoever waits for the hammer is told.
        if "replyTo" in message:
            stream, _, shard = message["replyTo"].partition("/")
            why = {"reason": "NO_SIZE", "message": f"no handle has the size {order['size']}"}
            edda.append(stream, message, why, "error", shard or "default")
        return
    handle = {"handleId": "handle-" + message["id"], "size": order["size"]}
    edda.append("assembly", message, {"head": order["head"], "handle": handle}, "assemble")


def run(about, stream, name, who, work):
    """Works on the messages of a group, one after the other, until it is stopped."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--edda", default=os.environ.get("EDDA_URL", "http://127.0.0.1:7400"), metavar="URL")
    parser.add_argument("--member", default=f"{who}-{os.getpid()}", metavar="NAME")
    parser.add_argument("--timeout", default="30s", help="until what one has is given to another")
    parser.add_argument("--takes", type=float, default=0, metavar="SECONDS", help="how long a handle takes")
    options = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit(0))

    edda = Edda(options.edda, os.environ.get("EDDA_TOKEN"))
    group = Group(edda, stream, name, options.member)
    try:
        group.create(**{"from": "start", "processingTimeout": options.timeout})
        print("carving as", options.member, flush=True)
        while True:
            for message in group.read(1):
                print("has", message["id"], flush=True)
                time.sleep(options.takes)
                try:
                    work(edda, message)
                except Exception as error:  # whatever it is, another try may do
                    group.reject(message, str(error))
                else:
                    group.ack(message)
                    print("did", message["id"], flush=True)
    except Refused as refused:
        sys.exit(f"{options.edda}: {refused}")


if __name__ == "__main__":
    run("Carves handles.", "handles", "carvers", "carver", carve)
