#!/usr/bin/env python3
"""Another reader of pkgswarm's indexes, written from the manual page pkgswarm-index(5) and from nothing else.

    verify_index.py NAME|- MINISIGN_KEY|- NOW DIRECTORY [REPO]...

DIRECTORY is a plain copy of an index, as the page describes it; NOW is in Unix seconds. Prints the sequence, then one
line `REPO-ARCH ENTRIES` for each table of the given repos, whose root blocks it checks where the copy has them, and one
line `archive REPO-ARCH LINES SINCE` for each that has an archive; else says on stderr what is wrong, and ends with status 1.

Only Python's own library and zstd(1) are used: it is slow, and it shares no line with the program that it checks.
"""

import base64
import datetime
import hashlib
import ipaddress
import json
import pathlib
import re
import subprocess
import sys


class Refused(Exception):
    pass


def need(fits, why):
    if not fits:
        raise Refused(why)


# Ed25519 as RFC 8032, section 5.1, has it.
P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT = pow(2, (P - 1) // 4, P)


def point(encoded):
    y = int.from_bytes(encoded, "little")
    sign, y = y >> 255, y & (1 << 255) - 1
    need(y < P, "no point of the curve")
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * ROOT % P
    need(x * x % P == square, "no point of the curve")
    if x & 1 != sign:
        x = P - x
    return x, y, 1, x * y % P


def add(a, b):
    e = (a[1] - a[0]) * (b[1] - b[0]) % P
    f = (a[1] + a[0]) * (b[1] + b[0]) % P
    g, h = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    return (f - e) * (h - g) % P, (h + g) * (f + e) % P, (h - g) * (h + g) % P, (f - e) * (f + e) % P


def times(number, a):
    out = (0, 1, 1, 0)
    while number:
        if number & 1:
            out = add(out, a)
        a, number = add(a, a), number >> 1
    return out


def is_signed(key, message, signature):
    if len(signature) != 64:
        return False
    number = int.from_bytes(signature[32:], "little")
    if number >= ORDER:
        return False
    challenge = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little") % ORDER
    base = point((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))
    left, right = times(number, base), add(point(signature[:32]), times(challenge, point(key)))
    return (left[0] * right[2] - right[0] * left[2]) % P == 0 and (left[1] * right[2] - right[1] * left[2]) % P == 0


def varint(data, at):
    value = shift = 0
    while True:
        need(at < len(data) and shift < 64, "a number is cut short")
        value |= (data[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 128:
            return value, at


def fields(data):
    """Protocol buffers: pairs of field number and value."""
    at, out = 0, []
    while at < len(data):
        key, at = varint(data, at)
        if key & 7 == 0:
            value, at = varint(data, at)
        elif key & 7 == 2:
            length, at = varint(data, at)
            need(at + length <= len(data), "a field is cut short")
            value, at = data[at : at + length], at + length
        else:
            raise Refused("a field of another kind")
        out.append((key >> 3, value))
    return out


def cbor_map(data):
    """DAG-CBOR, as far as a record needs it: one map of texts to byte strings and unsigned numbers."""

    def item(at):
        need(at < len(data), "the record's data is cut short")
        kind, small = data[at] >> 5, data[at] & 31
        at += 1
        if small >= 24:
            need(small < 28, "the record's data is no DAG-CBOR")
            width = 1 << small - 24
            small, at = int.from_bytes(data[at : at + width], "big"), at + width
        if kind == 0:
            return small, at
        if kind in (2, 3):
            need(at + small <= len(data), "the record's data is cut short")
            text = data[at : at + small]
            return (text if kind == 2 else text.decode()), at + small
        need(kind == 5, "the record's data is of another kind")
        out = {}
        for _ in range(small):
            name, at = item(at)
            out[name], at = item(at)
        return out, at

    out, end = item(0)
    need(end == len(data) and isinstance(out, dict), "the record's data is not one map")
    return out


def key_of(name):
    need(name.startswith("k"), "not a name in base36")
    number = int(name[1:], 36)
    cid = number.to_bytes(40, "big")
    need(cid[:8] == bytes.fromhex("0172002408011220"), "not the name of an Ed25519 key")
    return cid[8:]


def base32_cid(text):
    need(text.startswith("b"), "not a CID in base32")
    data = text[1:].upper()
    cid = base64.b32decode(data + "=" * (-len(data) % 8))
    need(cid[:1] == b"\x01" and cid[2:4] == b"\x12\x20" and len(cid) == 36, "not a CID with sha2-256")
    return cid


def root_of(name, record, now):
    """The CID of the directory: steps 1 and 2."""
    need(len(record) <= 10240, "the record is too long")
    parts = dict(fields(record))
    need(8 in parts and 9 in parts, "the record has no signatureV2")
    need(is_signed(key_of(name), b"ipns-signature:" + parts[9], parts[8]), "the record is not signed by its name")
    data = cbor_map(parts[9])
    unsigned = {1: "Value", 3: "ValidityType", 4: "Validity", 5: "Sequence", 6: "TTL"}
    if 1 in parts or 2 in parts:
        for number, field in unsigned.items():
            zero = b"" if field in ("Value", "Validity") else 0
            need(parts.get(number, zero) == data[field], f"the unsigned {field} differs")
    need(data["ValidityType"] == 0, "the validity is of another type")
    until = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?Z", data["Validity"].decode())
    need(until, "the validity is not a time")
    end = datetime.datetime.fromisoformat(until[1] + "+00:00").timestamp()
    need(now <= end, "the record is expired")
    value = data["Value"].decode()
    need(value.startswith("/ipfs/"), "the record points elsewhere")
    return base32_cid(value[6:])


def entries_of(block):
    """Names and CIDs of a directory block."""
    out, is_directory = {}, False
    for number, value in fields(block):
        if number == 2:
            link = dict(fields(value))
            out[link[2].decode()] = link[1]
        elif number == 1:
            is_directory = dict(fields(value)).get(1) == 1
    need(is_directory, "the root is no plain directory")
    return out


def check_minisign(key_text, manifest, text):
    """The trusted comment, once it is proven: step 3."""
    key = base64.b64decode(key_text, validate=True)
    need(len(key) == 42 and key[:2] == b"Ed", "not a minisign key")
    lines = text.decode().split("\n")
    need(len(text) <= 16384 and len(lines) in (4, 5) and not "".join(lines[4:]), "not a minisign signature")
    need(lines[2].startswith("trusted comment: "), "the trusted comment is missing")
    comment = lines[2][len("trusted comment: ") :]
    signature, both = (base64.b64decode(line, validate=True) for line in (lines[1], lines[3]))
    need(len(signature) == 74 and signature[2:10] == key[2:10], "signed by another minisign key")
    need(signature[:2] in (b"ED", b"Ed"), "an unknown kind of signature")
    message = hashlib.blake2b(manifest).digest() if signature[:2] == b"ED" else manifest
    need(is_signed(key[10:], message, signature[10:]), "the minisign signature does not fit the manifest")
    need(is_signed(key[10:], signature[10:] + comment.encode(), both), "the trusted comment is not signed")
    return comment


def lines_of(plain, table):
    """The lines of a table or an archive, as the manifest describes them."""
    need(len(plain) == table["size"], f"the table has {len(plain)} bytes")
    need(hashlib.sha256(plain).hexdigest() == table["sha256"], "the table has another sha256")
    need(not plain or plain.endswith(b"\n"), "the last line is not ended")
    rows = plain.split(b"\n")[:-1]
    need(len(rows) == table["entries"], f"the table has {len(rows)} entries")
    for row in rows:
        need(len(row) <= 4096, "a line is too long")
        entry = json.loads(row)
        name = entry["name"].encode()
        need(name and b"/" not in name and name not in (b".", b".."), f"{name} is no name")
        need(re.fullmatch("[0-9a-f]{64}", entry["sha256"]), "a sha256 is none")
        need(isinstance(entry["size"], int) and 0 <= entry["size"] <= 1 << 40, "a size is none")
        need(("cid" in entry) == (entry["size"] > 1 << 20), "a CID is missing, or there without need")
        if "cid" in entry:
            need(base32_cid(entry["cid"])[1] == 0x70, "the CID of a large file is another one")
        need(("sig_size" in entry) == ("sig_sha256" in entry), "half of a signature")
        need(1 <= entry.get("sig_size", 1) <= 16384, "the size of a signature is none")
    return rows


def rows_of(plain, table):
    rows = lines_of(plain, table)
    names = [json.loads(row)["name"].encode() for row in rows]
    need(all(a < b for a, b in zip(names, names[1:])), "the names are not sorted")
    return rows


def check_archive(plain, archive, entries):
    """What has left a table: sorted by name and until, and a name means one file."""
    last, now = 253402300799, {entry["name"]: entry for entry in entries}
    need(0 <= archive["since"] <= last, "the beginning of the archive is none")
    before = None
    for line in map(json.loads, lines_of(plain, archive)):
        key = (line["name"].encode(), line["until"])
        need(line.get("from", -1) < line["until"] <= last, "a file left before it came")
        need(before is None or before < key, "the archive is not sorted")
        same = now.setdefault(line["name"], line)
        need((same["size"], same["sha256"]) == (line["size"], line["sha256"]), f"{line['name']} means two files")
        before = key


def check_root(entry, block):
    """The root block of a listed file: proven by its CID, with one leaf for each MiB."""
    name, digest = entry["name"], base32_cid(entry["cid"])[4:]
    need(hashlib.sha256(block).digest() == digest, f"the root block of {name} is another one")
    leaves, data = [], []
    for number, value in fields(block):
        if number == 2:
            link = dict(fields(value))
            need(link[1][:4] == bytes.fromhex("01551220") and len(link[1]) == 36, "a leaf is not raw")
            leaves.append(link[3])
        elif number == 1:
            data = fields(value)
    size, most = entry["size"], 1 << 20
    whole = [most] * (size // most) + [size % most] * (size % most > 0)
    need(leaves == whole, f"the leaves of {name} are not its bytes")
    need(dict(data).get(1) == 2 and dict(data).get(3) == size, f"the root block of {name} is of another kind")
    need([value for number, value in data if number == 4] == whole, "the sizes of leaves differ")


def applied(old, diff):
    """The table that a diff makes of an old one."""
    rows = {json.loads(row)["name"].encode(): row for row in old.split(b"\n")[:-1]}
    for row in diff.split(b"\n")[:-1]:
        about = json.loads(row)
        if "gone" in about:
            rows.pop(about["gone"].encode(), None)
        else:
            rows[about["name"].encode()] = row
    return b"".join(rows[name] + b"\n" for name in sorted(rows))


def unpacked(packed):
    done = subprocess.run(["zstd", "-d", "-c", "--memory=16MB"], input=packed, capture_output=True)
    need(done.returncode == 0, "the table does not unpack")
    return done.stdout


def is_public(peer):
    kind, host = peer.split("/")[1:3]
    need(re.search("/p2p/[A-Za-z0-9]+$", peer), "an address without a peer")
    if kind in ("ip4", "ip6"):
        address = ipaddress.ip_address(host)
        return address.is_global and not address.is_multicast
    return kind in ("dns", "dns4", "dns6", "dnsaddr") and "." in host


def check_system(table, rows):
    """What a table of another package system says of itself: where its files are, and which of them describe it."""
    need(("system" in table) == ("path" in table), "half of a system")
    if "system" not in table:
        return
    need(re.fullmatch("[a-z0-9-]{1,32}", table["system"]), "the system is none")
    parts = table["path"].split("/")
    need(len(table["path"].encode()) <= 1024 and len(parts) <= 8, "the path is too long")
    need(all(part not in ("", ".", "..") and part.isprintable() for part in parts), "the path is none")
    if table["system"] == "haiku":
        need(parts[2:] == [table["arch"], "current"] and table["repo"] == "-".join(parts[:2]), "it is in another place")
        described = {name for name in map(lambda row: json.loads(row)["name"], rows) if not name.endswith(".hpkg")}
        need(described in ({"repo", "repo.info", "repo.sha256"} | more for more in ({"repo.minisig"}, set())), "it is not described")


def verify(name, key, now, directory, repos):
    part = lambda path: (directory / path).read_bytes()
    manifest = part("pkgswarm.json")
    if name is not None:
        root, block = root_of(name, part("pkgswarm.ipns-record"), now), part("pkgswarm.root")
        need(root[1] == 0x70 and hashlib.sha256(block).digest() == root[4:], "the directory is another one")
        cid = entries_of(block).get("pkgswarm.json", b"")
        need(cid == bytes.fromhex("01551220") + hashlib.sha256(manifest).digest(), "the manifest is another one")
    comment = check_minisign(key, manifest, part("pkgswarm.json.minisig")) if key is not None else ""

    need(len(manifest) <= 1048576, "the manifest is too long")
    index = json.loads(manifest)
    need(index["pkgswarm"] == 1, "another format")
    known = ["pkgswarm", "critical", "publisher", "sequence", "created", "expires", "profile", "tables", "peers", "gateways"]
    known += ["tables." + field for field in "repo arch changed entries sha256 size packed diffs databases upstream lastupdate system path content archive".split()]
    need(all(field in known for field in index.get("critical", [])), "something critical is not known")
    need(index["profile"] == "unixfs-v1-2025", "another profile")
    for word in comment.split():
        field, _, value = word.partition("=")
        need(field not in ("sequence", "expires") or value == str(index[field]), "the trusted comment contradicts")
    need(max(index["sequence"], index["created"]) <= now + 86400, "it is dated ahead")
    need(index["created"] <= index["expires"] and now <= index["expires"], "it is expired")
    need(len(index.get("peers", [])) <= 16 and len(index.get("gateways", [])) <= 8, "too many places to begin at")
    for peer in index.get("peers", []):
        need(len(peer) <= 256 and is_public(peer), f"the peer {peer} is not public")
    for gateway in index.get("gateways", []):
        need(len(gateway) <= 2048 and gateway.startswith("https://"), f"the gateway {gateway} is none")
    print(index["sequence"])

    for table in index["tables"]:
        if table["repo"] not in repos:
            continue
        need(0 <= table.get("lastupdate", 0) <= 253402300799, "upstream's time is none")
        packed = part(f"tables/{table['repo']}-{table['arch']}.ndjson.zst")
        need(hashlib.sha256(packed).hexdigest() == table["packed"]["sha256"], "the compressed table is another one")
        rows = rows_of(unpacked(packed), table)
        check_system(table, rows)
        for entry in map(json.loads, rows):
            root = directory / "ipfs" / entry.get("cid", "none")
            if root.exists() and entry["size"] <= 1 << 30:
                check_root(entry, root.read_bytes())
        print(f"{table['repo']}-{table['arch']}", len(rows))
        if "content" in table:
            content = table["content"]
            print("content", content if content in ("all", "recent") else "none")
        if "archive" in table:
            archive = table["archive"]
            packed = part(f"archive/{table['repo']}-{table['arch']}.ndjson.zst")
            need(hashlib.sha256(packed).hexdigest() == archive["packed"]["sha256"], "the compressed archive is another one")
            check_archive(unpacked(packed), archive, map(json.loads, rows))
            print(f"archive {table['repo']}-{table['arch']}", archive["entries"], archive["since"])


def main():
    name, key, now, directory, *repos = sys.argv[1:]
    given = lambda word: None if word == "-" else word
    try:
        need(name != "-" or key != "-", "nothing to prove it by")
        verify(given(name), given(key), int(now), pathlib.Path(directory), repos)
    except (Refused, OSError, ValueError, KeyError, TypeError) as why:
        sys.exit(f"refused: {why}")


if __name__ == "__main__":
    main()
