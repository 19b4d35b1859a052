#!/usr/bin/env python3
"""A service of sagas in Python, with the standard library alone, that finishes its
steps later.

It is a plain HTTP endpoint that hosts the balanced service "handles". Its method
carve takes a size, and answers at once that the step is pending. A carver, here a
thread, finishes it over HTTP when the handle is done, or fails it when there is no
such size, with nothing but the completion key that came with the step: it needs no
credentials, and could be another program on another machine.

  edda dev --example
  python3 examples/python/handles.py
  edda sagas start examples/sagas/two-services.json --wait

worker.py, beside it, shows how an endpoint checks who calls it.
"""

import argparse
import http.server
import json
import os
import queue
import signal
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

SIZES = ("short", "long")


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # connections are kept
    disable_nagle_algorithm = True  # an answer is more than one write

    def do_POST(self):
        step = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        if self.path != "/handles/carve":
            self.answer(404, b"no such method")  # a reply of 400 or more fails the step
            return
        # Whoever is asked twice, because an answer was lost, carves twice: only the
        # first handle that is handed in counts.
        self.server.orders.put(step)
        self.answer(202, b"", pending=True)

    def answer(self, status, body, pending=False):
        self.send_response(status)
        if pending:
            self.send_header("Edda-Pending", "true")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address):
        super().__init__(address, Handler)
        self.orders = queue.Queue()

    def url(self):
        host, port = self.server_address[:2]
        return f"http://{host}:{port}/handles"


def carve(edda, orders):
    """Works off the orders, one after the other."""
    number = 0
    while True:
        step = orders.get()
        size = step["args"][0] if step["args"] else None
        if size in SIZES:
            number += 1
            answer = finish(edda, step, "complete", {"result": {"handleId": f"handle-{number}", "size": size}})
        else:
            answer = finish(edda, step, "fail", {"error": {"message": f"no handle has the size {size}"}})
        print(step["sagaId"], step["stepId"], answer, flush=True)


def finish(edda, step, verb, body):
    """Finishes a step. To do it again changes nothing, so it is tried until it is answered."""
    path = "/".join(urllib.parse.quote(step[name], safe="") for name in ("sagaId", "stepId"))
    saga, _, name = path.partition("/")
    key = urllib.parse.urlencode({"completionKey": step["completionKey"]})
    while True:
        try:
            return post(f"{edda}/v1/sagas/{saga}/steps/{name}/{verb}?{key}", body)
        except urllib.error.HTTPError as error:
            if error.code < 500 and error.code != 429:
                return error.read().decode()  # the saga is gone: no trying will help
        except OSError:
            pass  # the node is away
        time.sleep(0.5)


def post(url, body, method="POST", token=None):
    request = urllib.request.Request(
        url, data=json.dumps(body).encode(), headers={"Content-Type": "application/json"}, method=method
    )
    if token:
        request.add_header("Authorization", "Bearer " + token)
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.load(response)


def main():
    parser = argparse.ArgumentParser(description="A service that finishes its steps later.")
    parser.add_argument("--listen", default="127.0.0.1:8001", metavar="HOST:PORT")
    parser.add_argument("--edda", default=os.environ.get("EDDA_URL", "http://127.0.0.1:7400"), metavar="URL")
    options = parser.parse_args()

    edda = options.edda.rstrip("/")
    host, _, port = options.listen.rpartition(":")
    try:
        server = Server((host, int(port)))
    except OSError as error:
        sys.exit(f"listen on {options.listen}: {error.strerror}")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    threading.Thread(target=carve, args=(edda, server.orders), daemon=True).start()
    registration = {"kind": "balanced", "endpoint": server.url(), "methods": ["carve"]}
    try:
        post(edda + "/v1/services/handles", registration, method="PUT", token=os.environ.get("EDDA_TOKEN"))
    except OSError as error:
        reason = error.read().decode() if hasattr(error, "read") else ""
        sys.exit(f"register at {edda}: {error} {reason}")
    print("listening on", server.url(), flush=True)
    signal.sigwait({signal.SIGINT, signal.SIGTERM})
    server.shutdown()


if __name__ == "__main__":
    # Signals wait for sigwait, in every thread.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    main()
