"""Hosts as they are found in public: a proxy behind a path, and a page that frames another."""

import contextlib
import http.client
import http.server
import threading
import urllib.parse


@contextlib.contextmanager
def serving(handler):
    """Serves a handler at a free port; yields `http://127.0.0.1:PORT/`."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


class Quiet(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass


def behind(address, path):
    """A proxy that has a server at a path and takes the path away, as nginx does."""
    target = urllib.parse.urlsplit(address).netloc

    class Proxy(Quiet):
        def forward(self):
            if not self.path.startswith(path):
                self.send_error(404)
                return
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            connection = http.client.HTTPConnection(target)
            shorter = "/" + self.path.removeprefix(path)
            connection.request(self.command, shorter, body, dict(self.headers))
            answer = connection.getresponse()
            content = answer.read()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)
            connection.close()

        do_GET = do_POST = do_DELETE = forward

    return serving(Proxy)


def framing():
    """A page that shows another in a frame: the one whose address is its query."""

    class Host(Quiet):
        def do_GET(self):
            framed = urllib.parse.unquote(urllib.parse.urlsplit(self.path).query)
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            page = f'<iframe src="{framed}" width="900" height="900" id="frame"></iframe>'
            self.wfile.write(page.encode())

    return serving(Host)


# What is newer than Chrome 92, Firefox 93 and Safari 15, to be taken away (but Object.hasOwn, which
# the driver itself calls).
WITHOUT_NEWER_PIECES = """
    delete AbortSignal.timeout; delete AbortSignal.any;
    for (const name of ["DecompressionStream", "CompressionStream", "structuredClone",
                        "requestIdleCallback", "scheduler", "navigation", "CSSContainerRule"]) {
      try { delete window[name]; } catch (error) {}
    }
    delete Object.groupBy; delete Promise.withResolvers;
    delete Array.fromAsync; delete Uint8Array.fromBase64; delete Uint8Array.prototype.toBase64;
    delete URL.canParse; delete Crypto.prototype.randomUUID;
    for (const own of [Array, Uint8Array, Float32Array, String]) {
      for (const name of ["at", "findLast", "findLastIndex", "toSorted", "toReversed", "with"]) {
        delete own.prototype[name];
      }
    }
    for (const name of ["at", "findLast", "toSorted", "toReversed", "with"]) {
      delete Object.getPrototypeOf(Uint8Array.prototype)[name];
    }
    delete Response.prototype.bytes; delete Blob.prototype.bytes;
    delete Element.prototype.setHTML; delete Element.prototype.checkVisibility;
    delete HTMLElement.prototype.showPopover;
"""
