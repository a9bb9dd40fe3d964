#!/usr/bin/env python3
"""A second reader of reels, written from docs/trace-format.md alone. Prints the records as JSON lines.

usage: reel_reader.py [--header] FILE    (needs the packages msgpack and zstandard)

Exit codes: 0 read to the end, sealed or not; 1 no reel, or one that cannot be read; 3 a part is lost.
"""

import datetime
import io
import json
import struct
import sys
import uuid

import msgpack
import zstandard

MAGIC = b"\x89REEL\r\n\x01"
SYNC = bytes.fromhex("9d4be17a52c836f0a51e6bd4832f970c")
END = b"REELEND\n"
HEADER, DATA, SUMMARY, MORE = 1, 2, 3, 4
NAMES = {1: "object", 2: "clock", 3: "synced", 4: "gap", 5: "action", 6: "phase", 7: "note"}
FORM, CHANGE = 8, 9
VERBS = ["initial", "added", "modified", "deleted"]
FEATURES = {"delta"}
LIMIT = 64 << 20
ABSENT = object()


class Refused(Exception):
    """No reel that this reader knows."""


class Lost(Exception):
    """The reel is cut or damaged."""


def crc_table():
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        yield byte


CRC = list(crc_table())


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ CRC[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def unpacker(data):
    return msgpack.Unpacker(io.BytesIO(data), strict_map_key=False,
                            max_buffer_size=LIMIT, ext_hook=msgpack.ExtType)


def blocks(file):
    """Type and decompressed body of each block; raises Lost where the file is not whole."""
    sequence, sealed, frame = 0, False, None
    while True:
        head = file.read(64)
        if not head:
            return
        if sealed and len(head) == 24 and head[16:] == END and crc32c(head[:8]) == struct.unpack("<I", head[8:12])[0]:
            return
        if len(head) < 64:
            raise Lost("the file ends inside a block header")
        if head[:16] != SYNC or crc32c(head[:60]) != struct.unpack("<I", head[60:])[0]:
            raise Lost("no block where one should start")
        kind, codec, stored, size, _records, number = struct.unpack("<BB2xIIIQ", head[16:40])
        if codec != 1 or stored > LIMIT or size > LIMIT:
            raise Lost("a block that this reader cannot unpack")
        if number != sequence:
            raise Lost(f"block {number} follows where block {sequence} should")
        sequence += 1
        body = file.read(stored)
        if len(body) < stored:
            raise Lost("the file ends inside a block")
        if crc32c(body) != struct.unpack("<I", head[56:60])[0]:
            raise Lost("a block fails its checksum")
        if kind != MORE:
            frame = zstandard.ZstdDecompressor(max_window_size=8 << 20).decompressobj() if kind <= SUMMARY else None
        elif frame is None:
            raise Lost("a block goes on with a chunk that did not start")
        body = frame.decompress(body) if frame else b""
        if frame and len(body) != size:
            raise Lost("a block has another size than it says")
        frame = frame if kind in (DATA, MORE) else None
        sealed |= kind == SUMMARY
        yield kind, body


class Tables:
    """What the changes of one chunk build on."""

    def __init__(self):
        self.strings, self.forms, self.objects = [], [], []
        self.time, self.version, self.second = 0, 0, 0

    def text(self, value):
        if isinstance(value, str):
            self.strings.append(value)
            return value
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(self.strings):
            return self.strings[value]
        raise Lost(f"{value!r} is no string")

    def value(self, packed, top=True):
        if packed is None or isinstance(packed, (bool, float)):
            return packed
        if isinstance(packed, list):
            return [self.value(item, False) for item in packed]
        if isinstance(packed, dict):
            # Key before value: strings are numbered as they come.
            out = {}
            for key, value in packed.items():
                key = self.text(key)
                out[key] = self.value(value, False)
            return out
        if isinstance(packed, msgpack.Timestamp):
            return self.stamp(packed.seconds)
        if isinstance(packed, int) and packed < 0:
            step = -1 - packed
            return self.stamp(self.second + (-(step + 1) // 2 if step % 2 else step // 2))
        if isinstance(packed, msgpack.ExtType):
            if packed.code == 0 and top:
                return ABSENT
            if packed.code in (1, 2):
                return int.from_bytes(packed.data, "big", signed=packed.code == 1)
            if packed.code == 3:
                head, digits = packed.data[1:1 + packed.data[0]], packed.data[1 + packed.data[0]:]
                return head.decode() + digits.hex()
            if packed.code == 4:
                return str(uuid.UUID(bytes=packed.data))
            raise Lost(f"extension {packed.code} means nothing")
        return self.text(packed)

    def stamp(self, second):
        self.second = second
        time = datetime.datetime.fromtimestamp(second, datetime.timezone.utc)
        return time.strftime("%Y-%m-%dT%H:%M:%SZ")

    def path(self, packed):
        negative = lambda step: isinstance(step, int) and not isinstance(step, bool) and step < 0
        return [-1 - step if negative(step) else self.text(step) for step in packed]

    def form(self, content):
        parts = unpacker(content)
        parent = parts.unpack()
        changes = list(self.forms[parent - 1][0]) if parent else []
        for _ in range(parts.read_array_header()):
            path = self.path(parts.unpack())
            changes.append((path, self.value(parts.unpack())))
        holes = []
        for _ in range(parts.read_array_header()):
            path = self.path(parts.unpack())
            holes.append((path, parts.unpack()))
        self.forms.append((changes, holes))

    def change(self, content):
        parts = unpacker(content)
        time, verb, back, version, form = (parts.unpack() for _ in range(5))
        self.time += time
        changes, holes = self.forms[form - 1]
        slots = [self.value(parts.unpack()) for _ in range(1 + max((slot for _, slot in holes), default=-1))]
        if back == 0:
            self.objects.append(None)
            back = 1
        state = self.objects[-back]
        for path, value in changes + [(path, slots[slot]) for path, slot in holes]:
            state = assigned(state, path, value)
        if version is not None:
            self.version += version
            state["metadata"]["resourceVersion"] = str(self.version)
        self.objects[-back] = state
        meta = state["metadata"]
        group, _, _ = state["apiVersion"].rpartition("/")
        key = {"kind": state["kind"] + ("." + group if group else ""), "name": meta["name"]}
        if isinstance(meta.get("namespace"), str):
            key["namespace"] = meta["namespace"]
        text = lambda field: meta[field] if isinstance(meta.get(field), str) else ""
        event = {"at": self.time, "verb": VERBS[verb & 3], "key": key, "uid": text("uid"),
                 "rv": text("resourceVersion"), "object": state}
        if verb & 4:
            event["inferred"] = True
        return event


def assigned(root, path, value):
    """`root` with `value` at `path`. Values are copied: what a form holds must not change."""
    value = value if value is ABSENT else json.loads(json.dumps(value))
    if not path:
        return value
    at = root
    for step in path[:-1]:
        exists = step in at if isinstance(at, dict) else isinstance(at, list) and step < len(at)
        if not exists:
            if value is ABSENT:
                return root
            raise Lost("a change has no place in its object")
        at = at[step]
    last = path[-1]
    if isinstance(at, dict) and isinstance(last, str):
        at.pop(last, None) if value is ABSENT else at.__setitem__(last, value)
    elif isinstance(at, list) and isinstance(last, int):
        if value is ABSENT:
            del at[last:]
        elif last <= len(at):
            at[last:last + 1] = [value]
        else:
            raise Lost("a change leaves a hole in an array")
    elif value is not ABSENT:
        raise Lost("a change has no place in its object")
    return root


def records(body, tables):
    parts = unpacker(body)
    while parts.tell() < len(body):
        kind, content = parts.unpack(), parts.unpack()
        if kind == FORM:
            tables.form(content)
        elif kind == CHANGE:
            yield "object", tables.change(content)
        elif kind in NAMES:
            yield NAMES[kind], msgpack.unpackb(content, strict_map_key=False)


def read(file, show_header):
    magic = file.read(8)
    if magic != MAGIC:
        raise Refused("no reel of major version 1")
    first, tables = True, None
    for kind, body in blocks(file):
        if first:
            header = msgpack.unpackb(body) if kind == HEADER else None
            if header is None:
                raise Refused("the first block is not a header")
            missing = set(header.get("requires", [])) - FEATURES
            if missing:
                raise Refused(f"needs a reader with {', '.join(sorted(missing))}")
            if show_header:
                print(json.dumps(header))
        elif kind in (DATA, MORE):
            tables = Tables() if kind == DATA else tables
            for name, record in records(body, tables):
                print(json.dumps({"record": name, **record}))
        first = False
    if first:
        raise Lost("the file ends before the header")


def main():
    arguments = [a for a in sys.argv[1:] if a != "--header"]
    if len(arguments) != 1:
        sys.exit(__doc__)
    try:
        with open(arguments[0], "rb") as file:
            read(file, "--header" in sys.argv)
    except Refused as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except (Lost, IndexError, KeyError, TypeError, ValueError, msgpack.UnpackException) as error:
        print(f"lost: {error}", file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
