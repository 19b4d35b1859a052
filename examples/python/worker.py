#!/usr/bin/env python3
"""A worker for Edda in Python, with the standard library alone.

It is a plain HTTP endpoint that hosts two services:

  users         ordered, over the envelope protocol. A login is forbidden until
                the email was allowed; what is allowed is state of the key,
                which Edda keeps together with the reply.
  TEST_SERVICE  balanced, over the plain protocol: echo, req_count, and what
                happens when a method is missing or breaks.

Start a node and the worker, then call it:

  edda dev
  python3 examples/python/worker.py
  edda call users/42 login '{"email":"ada@example.com"}'

What Edda posts is signed as Standard Webhooks say; the worker makes a secret,
tells Edda when it registers, and answers nobody else. docs/endpoints.md
describes both protocols.
"""

import argparse
import base64
import hashlib
import hmac
import http.server
import json
import os
import secrets
import signal
import sys
import threading
import time
import urllib.request

# A signed request that is older, or from further in the future, may be a copy
# that somebody sends again.
MAX_AGE_SECONDS = 300


class Users:
    """An ordered service: one request of a key at a time, state by the envelope."""

    registration = {"kind": "ordered", "protocol": "envelope"}

    def handle(self, method, envelope):
        if method not in ("login", "allow"):
            return text(404, "not found")
        email = self.email(envelope)
        if not email:
            return text(400, 'the body must be {"email":"..."}')
        name = "allowed/" + email
        if method == "login":
            allowed = name in envelope["state"]
            return text(200, "ok") if allowed else text(403, "forbidden")
        # Reply and state are one outcome: whoever reads "ok" can log in, also after
        # a crash of the node or of this process.
        return {**text(200, "ok"), "state": {"set": {name: True}}}

    @staticmethod
    def email(envelope):
        data = envelope.get("data")
        try:
            if isinstance(data, str):  # its content type was not JSON
                data = json.loads(data)
            email = data["email"]
        except (ValueError, TypeError, KeyError):
            return None
        return email if isinstance(email, str) and 0 < len(email) <= 254 else None


def text(status, data):
    """An envelope with a reply of plain text."""
    return {"status": status, "contentType": "text/plain; charset=utf-8", "data": data}


class TestService:
    """A balanced service: any request at any time, body in and body out."""

    registration = {"kind": "balanced", "protocol": "plain"}

    def __init__(self):
        self.lock = threading.Lock()
        self.requests = 0

    def handle(self, method, content_type, body):
        """Returns status, content type and body."""
        with self.lock:
            self.requests += 1  # before answering
            count = self.requests
        try:
            if method == "echo":
                return 200, content_type, body
            if method == "req_count":
                return 200, "application/json", str(count).encode()
            if method == "bad":
                json.loads(body)  # which is one part short
            return 404, "text/plain", f"/{method} not found".encode()
        except ValueError:
            # A status of 400 is a reply like any other. 500 would be a failed
            # attempt, which Edda tries again.
            return 400, "text/plain", b"worker exception"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # connections are kept
    disable_nagle_algorithm = True  # an answer is more than one write
    server_version = "edda-example"

    def do_GET(self):
        if self.path == "/healthz":
            self.answer(200, "text/plain", b"ok")
        else:
            self.answer(404, "text/plain", b"not found")

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if not self.signed(body):
            # 401 would be a reply, and end the request. The sender may have a secret
            # that we do not have yet, or any more: it should try again.
            self.answer(503, "text/plain", b"the signature is missing or wrong")
            return
        _, service, method = (self.path.split("/") + ["", ""])[:3]
        users, test_service = self.server.users, self.server.test_service
        if service == "users":
            envelope = json.loads(body)
            reply = users.handle(method, envelope)
            self.answer(200, "application/json", json.dumps(reply).encode())
        elif service == "TEST_SERVICE":
            content_type = self.headers.get("Content-Type", "")
            self.answer(*test_service.handle(method, content_type, body))
        else:
            self.answer(404, "text/plain", b"no such service")

    def signed(self, body):
        """Whether the request is from somebody who knows the secret, and new."""
        name = self.headers.get("webhook-id", "")
        timestamp = self.headers.get("webhook-timestamp", "")
        try:
            age = abs(time.time() - int(timestamp))
        except ValueError:
            return False
        if age > MAX_AGE_SECONDS:
            return False
        signed = name.encode() + b"." + timestamp.encode() + b"." + body
        digest = hmac.new(self.server.key, signed, hashlib.sha256).digest()
        want = "v1," + base64.b64encode(digest).decode()
        given = self.headers.get("webhook-signature", "").split(" ")
        return any(hmac.compare_digest(want, one) for one in given)

    def answer(self, status, content_type, body):
        self.send_response(status)
        if content_type:
            self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address, key):
        super().__init__(address, Handler)
        self.key = key
        self.users = Users()
        self.test_service = TestService()

    def url(self):
        host, port = self.server_address[:2]
        return f"http://{host}:{port}"


def register(edda, token, worker, key):
    """Tells the node where the services are. To do it again changes nothing."""
    for name, service in (("users", worker.users), ("TEST_SERVICE", worker.test_service)):
        document = {
            **service.registration,
            "endpoint": f"{worker.url()}/{name}",
            "health": {"path": "/healthz", "interval": "1s"},
            "secret": "whsec_" + base64.b64encode(key).decode(),
        }
        request = urllib.request.Request(
            f"{edda}/v1/services/{name}",
            data=json.dumps(document).encode(),
            headers={"Content-Type": "application/json"},
            method="PUT",
        )
        if token:
            request.add_header("Authorization", "Bearer " + token)
        with urllib.request.urlopen(request, timeout=10) as response:
            print(name, "is new" if response.status == 201 else "is registered", flush=True)


def main():
    parser = argparse.ArgumentParser(description="A worker for Edda in Python.")
    parser.add_argument("--listen", default="127.0.0.1:8000", metavar="HOST:PORT")
    parser.add_argument("--edda", default=os.environ.get("EDDA_URL", "http://127.0.0.1:7400"), metavar="URL")
    options = parser.parse_args()

    host, _, port = options.listen.rpartition(":")
    key = secrets.token_bytes(32)
    try:
        worker = Server((host, int(port)), key)
    except OSError as error:
        sys.exit(f"listen on {options.listen}: {error.strerror}")
    threading.Thread(target=worker.serve_forever, daemon=True).start()
    try:
        register(options.edda.rstrip("/"), os.environ.get("EDDA_TOKEN"), worker, key)
    except OSError as error:
        body = error.read().decode() if hasattr(error, "read") else ""
        sys.exit(f"register at {options.edda}: {error} {body}")
    print("listening on", worker.url(), flush=True)
    signal.sigwait({signal.SIGINT, signal.SIGTERM})
    worker.shutdown()


if __name__ == "__main__":
    # Signals wait for sigwait, in every thread.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    main()
