#!/usr/bin/env python3
"""A host of a Trunkline node in Python: any language that speaks JSON over a Unix socket can drive one.

    host.py SOCKET publish TRACK 127.0.0.1:5004    what arrives there as plain RTP becomes the track
    host.py SOCKET acquire TRACK 127.0.0.1:6004    the track leaves there as plain RTP, from whichever node has it

Prints every event as it comes. Closing the connection (Ctrl-C) takes back what was asked for.
"""
import json
import socket
import sys


def main(path, method, track, address):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(path)
        lines = connection.makefile("r", encoding="utf-8")
        hello = json.loads(next(lines))["params"]
        print(f"{hello['service']} {hello['version']}, admin API {hello['api']}", flush=True)
        tap = "ingest" if method == "publish" else "egress"
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {"track": track, tap: address}}
        connection.sendall(json.dumps(request).encode() + b"\n")
        for line in lines:
            message = json.loads(line)
            if "error" in message:
                sys.exit(f"{method}: {message['error']['message']}")
            if message.get("method") == "event":
                event = message["params"]
                print(event["event"], json.dumps(event), flush=True)
                if event["event"] in ("publish_failed", "unpublished", "ended") or event.get("outcome", "OK") != "OK":
                    return


if __name__ == "__main__":
    if len(sys.argv) != 5 or sys.argv[2] not in ("publish", "acquire"):
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except KeyboardInterrupt:
        pass
