#!/usr/bin/env python3
"""An object store on loopback that does what a test asks of it, wrong things too.

    fake-s3.py [--put KEY=FILE] [--fault ON,FIRST,COUNT,WHAT] ... FOLDER -- COMMAND...

Runs COMMAND with the store in its environment, and then writes FOLDER/state.json: the requests that
came, the objects and the uploads that are left. Objects are kept as files in FOLDER. Every request has to
be signed with the right key (AWS Signature Version 4, by its specification), but with --open. The exit
status is that of COMMAND.

A fault hits COUNT requests of a kind (GET, LIST, HEAD, PUT, CREATE, PART, COPY,
COMPLETE, ABORT, DELETE) from number FIRST on,
counted from 1; COUNT may be "all". In COMMAND, {port} stands for the port.
"""

import argparse
import collections
import email.utils
import hashlib
import hmac
import http.server
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.parse

KEY, SECRET, TOKEN, REGION = "AKIDTEST", "secret/of+the:test", "token==of/a session", "lab-1"
BUCKET = "images"


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def mac(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


class Store:
    """What the server has; changed under a lock."""

    def __init__(self, options):
        self.options = options
        self.lock = threading.Lock()
        self.objects = {}  # key: path of a file
        self.tags = {}  # of files that were sent in parts
        self.versions = collections.Counter()
        self.uploads = {}  # id: {"key", "parts": {number: (path, etag)}}
        self.requests = []
        self.counts = collections.Counter()
        self.sent = 0
        self.files = 0
        for word in options.put:
            key, _, path = word.rpartition("=")
            self.objects[key] = path

    def new_file(self):
        self.files += 1
        return os.path.join(self.options.folder, f"blob-{self.files}")

    def etag(self, key):
        path = self.objects[key]
        if path in self.tags:
            return self.tags[path]
        status = os.stat(path)
        name = f"{key} {path} {status.st_size} {self.versions[key]}"
        return '"' + hashlib.md5(name.encode()).hexdigest() + '"'

    def fault(self, kind):
        """What goes wrong with this request of a kind; "" for nothing."""
        with self.lock:
            self.counts[kind] += 1
            number = self.counts[kind]
        for on, first, count, what in self.options.faults:
            if on == kind and number >= first and (count is None or number < first + count):
                return what
        return ""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    store = None

    def log_message(self, *arguments):
        pass

    # ---- signatures ----

    def check_signature(self, body):
        """None, or an error's code."""
        if self.store.options.open:
            return None
        header = self.headers.get("Authorization", "")
        match = re.fullmatch(
            r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request,\s*"
            r"SignedHeaders=([^,]+),\s*Signature=([0-9a-f]{64})", header)
        if not match:
            return "AccessDenied"
        key, day, region, service, signed, signature = match.groups()
        if key != KEY:
            return "InvalidAccessKeyId"
        names = signed.split(";")
        stated = self.headers.get("x-amz-content-sha256", "")
        if stated not in ("UNSIGNED-PAYLOAD", sha256(body)):
            return "XAmzContentSHA256Mismatch"
        if self.store.options.token and self.headers.get("x-amz-security-token") != TOKEN:
            return "InvalidToken"
        must = {"host"} | {n.lower() for n in self.headers if n.lower().startswith("x-amz-")}
        if names != sorted(names) or not must <= set(names) or region != REGION:
            return "AuthorizationHeaderMalformed"
        path, _, query = self.path.partition("?")
        pairs = sorted(
            (name, value) for name, _, value in (p.partition("=") for p in query.split("&") if p))
        canonical = "\n".join([
            self.command, path, "&".join(f"{n}={v}" for n, v in pairs),
            "".join(f"{n}:{' '.join(self.headers.get(n, '').split())}\n" for n in names),
            signed, stated])
        scope = f"{day}/{region}/{service}/aws4_request"
        text = "\n".join(
            ["AWS4-HMAC-SHA256", self.headers.get("x-amz-date", ""), scope, sha256(canonical.encode())])
        secret = mac(("AWS4" + SECRET).encode(), day)
        for word in (region, service, "aws4_request"):
            secret = mac(secret, word)
        good = hmac.new(secret, text.encode(), hashlib.sha256).hexdigest()
        return None if hmac.compare_digest(good, signature) else "SignatureDoesNotMatch"

    # ---- answers ----

    def answer(self, status, body=b"", headers=(), length=None):
        self.status = status
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        if self.command != "HEAD":
            self.send(body)

    def send(self, data):
        self.wfile.write(data)
        self.count += len(data)

    def error(self, status, code, message="as the test has it"):
        text = f"<?xml version=\"1.0\"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>"
        self.answer(status, text.encode(), [("Content-Type", "application/xml")])

    def stop(self):
        """Ends the connection without another byte."""
        self.close_connection = True
        try:
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    # ---- requests ----

    def handle_request(self):
        self.count, self.status = 0, 0
        path, _, query = self.path.partition("?")
        names = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
        kind = self.command
        if kind == "POST":
            kind = "CREATE" if "uploads" in names else "COMPLETE"
        if kind == "PUT" and "partNumber" in names:
            kind = "COPY" if "x-amz-copy-source" in self.headers else "PART"
        if kind == "DELETE" and "uploadId" in names:
            kind = "ABORT"
        if kind == "GET" and "list-type" in names:
            kind = "LIST"
        fault = self.store.fault(kind)
        entry = {"kind": kind, "path": path, "range": self.headers.get("Range"), "fault": fault,
                 "match": self.headers.get("If-Match"), "host": self.headers.get("Host"),
                 "signed": "Authorization" in self.headers}
        try:
            self.respond(kind, path, names, fault, entry)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        finally:
            entry["status"], entry["bytes"] = self.status, self.count
            with self.store.lock:
                self.store.requests.append(entry)
                self.store.sent += self.count

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_request

    def respond(self, kind, path, names, fault, entry):
        expects = self.headers.get("Content-Length")
        if fault == "cut-request":  # in the middle of what is sent to us
            self.rfile.read(int(expects or 0) // 2)
            return self.stop()
        body = self.rfile.read(int(expects)) if expects else b""
        entry["received"] = len(body)
        if fault in ("500", "503"):
            return self.error(int(fault), "SlowDown" if fault == "503" else "InternalError")
        if fault == "503-plain":
            return self.answer(503, b"\x1b[31mno\nXML", [("Connection", "close")])
        if fault == "cut-early":
            return self.stop()
        if fault in ("term", "interrupt"):  # the program is to stop, and has no answer
            number = signal.SIGTERM if fault == "term" else signal.SIGINT
            self.store.child.send_signal(number)
        if fault in ("stall", "term", "interrupt"):
            try:
                while self.connection.recv(4096):
                    pass
            except OSError:
                pass
            return self.stop()
        if fault == "delay":
            time.sleep(0.3)
        if fault == "loop":
            return self.answer(302, b"", [("Location", self.path)])
        if fault == "region":
            return self.answer(301, b"", [("x-amz-bucket-region", "moon-1")])
        if fault == "expired":
            return self.error(400, "ExpiredToken", "The provided token has expired.")
        if path == "/moved":
            return self.answer(302, b"", [("Location", f"/{BUCKET}/image")])
        problem = self.check_signature(body)
        if problem:
            return self.error(403, problem, "the signature or key is wrong")
        host = (entry["host"] or "").split(":")[0]
        if self.store.options.virtual:
            if not host.startswith(BUCKET + "."):
                return self.error(404, "NoSuchBucket")
            key = path[1:]
        elif path.startswith(f"/{BUCKET}/"):
            key = path[len(BUCKET) + 2:]
        else:
            return self.error(404, "NoSuchBucket")
        key = urllib.parse.unquote(key)
        getattr(self, "on_" + kind.lower())(key, names, fault, body)

    def on_get(self, key, names, fault, body):
        store = self.store
        if fault == "changed":  # somebody writes it anew before this read
            with store.lock:
                store.versions[key] += 1
        if key not in store.objects:
            return self.error(404, "NoSuchKey", "The specified key does not exist.")
        path = store.objects[key]
        size, etag = os.path.getsize(path), store.etag(key)
        if fault == "etag":
            etag = '"another"'
        wanted = self.headers.get("If-Match")
        if wanted and wanted != store.etag(key) and fault != "unmatched":
            return self.error(412, "PreconditionFailed", "the tag is another")
        if fault == "unmatched":
            etag = '"not looked at"'
        headers = [("ETag", etag), ("Last-Modified", email.utils.formatdate(1e9, usegmt=True))]
        if store.options.tags == "weak":
            headers[0] = ("ETag", "W/" + etag)
        if store.options.tags == "none":
            headers = headers[1:]
        match = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if not match or fault == "noranges" or store.options.noranges:
            with open(path, "rb") as file:
                return self.answer(200, file.read(), headers)
        first, last = int(match[1]), min(int(match[2]), size - 1)
        if first >= size:
            return self.answer(416, b"", [("Content-Range", f"bytes */{size}")])
        with open(path, "rb") as file:
            file.seek(first)
            data = file.read(last - first + 1)
        total, shown = size, first
        if fault == "lie":
            shown, last = first + 4096, last + 4096
        if fault == "lie-total":
            total = size + 4096
        span = f"bytes {shown}-{last}/{total}"
        if fault == "lie-words":
            span = "bytes of all kinds"
        headers.append(("Content-Range", span))
        if fault == "truncate":
            data = data[:len(data) // 2]
        if fault == "repeat":
            data += data
        if fault == "cut":
            self.answer(206, data[:len(data) // 2], headers, length=len(data))
            return self.stop()
        if fault == "endless":
            self.send_response(206)
            for name, value in headers:
                self.send_header(name, value)
            self.send_header("Connection", "close")
            self.end_headers()
            self.close_connection = True
            self.status = 206
            while True:
                self.send(data)
        self.answer(206, data, headers)

    def on_list(self, key, names, fault, body):
        """Two keys a page, as ListObjectsV2 has them."""
        if fault == "endless":
            return self.answer(200, b"<ListBucketResult><IsTruncated>true</IsTruncated><Contents><Key>a</Key>"
                                    b"</Contents><NextContinuationToken>x</NextContinuationToken>"
                                    b"</ListBucketResult>")
        if fault == "words":
            return self.answer(200, b"<html>no list</html>")
        if names.get("list-type") != "2" or key:
            return self.error(400, "InvalidArgument")
        prefix, after = names.get("prefix", ""), names.get("continuation-token", "")
        with self.store.lock:
            keys = sorted(k for k in self.store.objects if k.startswith(prefix) and k > after)
        escape = urllib.parse.quote_plus if names.get("encoding-type") == "url" else str
        if fault == "plain":
            escape = str
        text = "<?xml version=\"1.0\"?><ListBucketResult><Name>images</Name>"
        if escape is not str:
            text += "<EncodingType>url</EncodingType>"
        for k in keys[:2]:
            shown = escape(k).replace("&", "&amp;").replace("<", "&lt;")
            text += f"<Contents><Key>{shown}</Key><Size>1</Size></Contents>"
        text += f"<IsTruncated>{'true' if len(keys) > 2 else 'false'}</IsTruncated>"
        if len(keys) > 2:
            shown = keys[1].replace("&", "&amp;")
            text += f"<NextContinuationToken>{shown}</NextContinuationToken>"
        self.answer(200, (text + "</ListBucketResult>").encode())

    def on_head(self, key, names, fault, body):
        if fault == "changed":  # somebody writes it anew before this look
            self.store.versions[key] += 1
        if key not in self.store.objects:
            return self.answer(404)
        size = os.path.getsize(self.store.objects[key])
        self.answer(200, b"", [("ETag", self.store.etag(key))], length=size)

    def write(self, key, pieces):
        """Makes an object; what was there before was there until now."""
        store = self.store
        path = store.new_file()
        with open(path, "wb") as out:
            for piece in pieces:
                out.write(piece)
        store.objects[key] = path
        store.versions[key] += 1

    def on_put(self, key, names, fault, body):
        if fault == "no-conditions" and "If-None-Match" in self.headers:  # as Swift does
            return self.error(501, "NotImplemented", "Conditional object PUTs are not supported.")
        with self.store.lock:
            if self.headers.get("If-None-Match") == "*" and key in self.store.objects:
                return self.error(412, "PreconditionFailed")
            self.write(key, [body])
        self.answer(200, b"", [("ETag", self.store.etag(key))])

    def on_create(self, key, names, fault, body):
        store = self.store
        with store.lock:
            name = f"upload/{len(store.uploads) + 1}&more="
            store.uploads[name] = {"key": key, "parts": {}}
        if fault == "nameless":
            return self.answer(200, b"<InitiateMultipartUploadResult/>")
        shown = name.replace("&", "&amp;")
        self.answer(200, f"<InitiateMultipartUploadResult><UploadId>{shown}</UploadId>"
                         f"</InitiateMultipartUploadResult>".encode())

    def on_part(self, key, names, fault, body):
        store = self.store
        number, name = int(names["partNumber"]), names["uploadId"]
        with store.lock:
            upload = store.uploads.get(name)
            if not upload or upload["key"] != key or fault == "forgotten":
                return self.error(404, "NoSuchUpload")
            path = store.new_file()
            with open(path, "wb") as out:
                out.write(body)
            etag = '"' + hashlib.md5(body).hexdigest() + '"'
            upload["parts"][number] = (path, etag)
        self.answer(200, b"", [] if fault == "noetag" else [("ETag", etag)])

    def on_copy(self, key, names, fault, body):
        store = self.store
        if fault == "unsupported":
            return self.error(501, "NotImplemented")
        if fault == "error-200":
            return self.error(200, "AccessDenied", "not after all")
        source = urllib.parse.unquote(self.headers["x-amz-copy-source"])
        span = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers["x-amz-copy-source-range"])
        if not source.startswith(f"/{BUCKET}/") or source[len(BUCKET) + 2:] not in store.objects:
            return self.error(404, "NoSuchKey")
        source = source[len(BUCKET) + 2:]
        if fault == "changed":
            store.versions[source] += 1
        wanted = self.headers["x-amz-copy-source-if-match"]
        if fault == "other-tag" and wanted:  # as Swift does, which compares a tag of its own
            wanted = "another"
        if wanted and wanted != store.etag(source):
            return self.error(412, "PreconditionFailed", "the tag is another")
        with open(store.objects[source], "rb") as file:
            file.seek(int(span[1]))
            data = file.read(int(span[2]) - int(span[1]) + 1)
        with store.lock:
            upload = store.uploads.get(names["uploadId"])
            if not upload or upload["key"] != key or len(data) != int(span[2]) - int(span[1]) + 1:
                return self.error(404, "NoSuchUpload")
            path = store.new_file()
            with open(path, "wb") as out:
                out.write(data)
            etag = hashlib.md5(data).hexdigest()
            upload["parts"][int(names["partNumber"])] = (path, f'"{etag}"')
        self.answer(200, f"<CopyPartResult><ETag>&quot;{etag}&quot;</ETag></CopyPartResult>".encode())

    def on_complete(self, key, names, fault, body):
        store = self.store
        if fault == "error-200":
            return self.error(200, "AccessDenied", "not after all")
        if fault == "slow-200":
            return self.error(200, "SlowDown", "later")
        with store.lock:
            upload = store.uploads.get(names["uploadId"])
            if not upload:
                return self.error(404, "NoSuchUpload")
            if self.headers.get("If-None-Match") == "*" and key in store.objects:
                return self.error(412, "PreconditionFailed")
            listed = re.findall(
                rb"<PartNumber>(\d+)</PartNumber><ETag>([^<]+)</ETag>", body)
            pieces = []
            for index, (number, etag) in enumerate(listed):
                path, known = upload["parts"].get(int(number), (None, None))
                if int(number) != index + 1 or known != etag.decode():
                    return self.error(400, "InvalidPart")
                with open(path, "rb") as file:
                    pieces.append(file.read())
                if len(pieces[-1]) < 5 << 20 and index + 1 < len(listed):
                    return self.error(400, "EntityTooSmall")
            self.write(key, pieces)
            del store.uploads[names["uploadId"]]
            tag = store.etag(key)[:-1] + f"-{len(listed)}\""
            store.tags[store.objects[key]] = tag
        if fault == "cut-after":  # done, and nobody hears of it
            return self.stop()
        self.answer(200, f"<CompleteMultipartUploadResult><ETag>{tag}</ETag>"
                         f"</CompleteMultipartUploadResult>".encode())

    def on_abort(self, key, names, fault, body):
        with self.store.lock:
            if self.store.uploads.pop(names.get("uploadId"), None) is None:
                return self.error(404, "NoSuchUpload")
        self.answer(204)

    def on_delete(self, key, names, fault, body):
        if fault == "unknown":  # as some stores say of an object that is not there
            return self.error(404, "NoSuchKey", "The specified key does not exist.")
        with self.store.lock:
            self.store.objects.pop(key, None)  # its file stays: it may be the test's own
        if fault == "cut-after":  # done, and nobody hears of it
            return self.stop()
        self.answer(204)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request, address):
        error = sys.exc_info()[1]
        if not isinstance(error, (ConnectionError, ssl.SSLError)):
            super().handle_error(request, address)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--put", action="append", default=[])
    parser.add_argument("--fault", action="append", default=[])
    parser.add_argument("--open", action="store_true", help="take requests that are not signed")
    parser.add_argument("--token", action="store_true", help="the key is of a session")
    parser.add_argument("--virtual", action="store_true", help="the bucket is a part of the host's name")
    parser.add_argument("--noranges", action="store_true")
    parser.add_argument("--tags", choices=["strong", "weak", "none"], default="strong")
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--keyless", action="store_true", help="no key in the environment of COMMAND")
    parser.add_argument("folder")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    options.faults = []
    for word in options.fault:
        on, first, count, what = word.split(",")
        options.faults.append((on, int(first), None if count == "all" else int(count), what))

    store = Handler.store = Store(options)
    server = Server(("127.0.0.1", 0), Handler)
    if options.tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(os.path.splitext(os.path.abspath(__file__))[0] + ".pem")
        server.socket = context.wrap_socket(server.socket, server_side=True)
    port = server.server_address[1]
    threading.Thread(target=server.serve_forever, daemon=True).start()

    environment = {name: value for name, value in os.environ.items()
                   if not name.startswith(("AWS_", "XENSAVE_S3"))}
    host = "localhost" if options.virtual or options.tls else "127.0.0.1"
    environment.update(
        AWS_ENDPOINT_URL=f"http{'s' if options.tls else ''}://{host}:{port}", AWS_REGION=REGION,
        HOME=options.folder, no_proxy="*")
    if not options.keyless:
        environment.update(AWS_ACCESS_KEY_ID=KEY, AWS_SECRET_ACCESS_KEY=SECRET)
        if options.token:
            environment["AWS_SESSION_TOKEN"] = TOKEN
    for name, value in os.environ.items():
        if name.startswith("TEST_"):
            environment[name[5:]] = value.replace("{port}", str(port))
    command = [word.replace("{port}", str(port)) for word in options.command]
    store.child = subprocess.Popen(command, env=environment)
    status = store.child.wait()
    server.shutdown()
    with store.lock:
        objects = {}
        for key, path in store.objects.items():
            digest = hashlib.sha256()
            size = os.path.getsize(path)
            if size <= 256 << 20:
                with open(path, "rb") as file:
                    while chunk := file.read(1 << 20):
                        digest.update(chunk)
            objects[key] = {"file": path, "bytes": size, "sha256": digest.hexdigest()}
        with open(os.path.join(options.folder, "state.json"), "w") as out:
            json.dump({"requests": store.requests, "objects": objects, "bytes": store.sent,
                       "uploads": list(store.uploads)}, out)
    sys.exit(128 - status if status < 0 else status)


if __name__ == "__main__":
    main()
