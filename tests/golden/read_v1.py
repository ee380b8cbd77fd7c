#!/usr/bin/env python3
"""Reads tests/golden/v1 as docs/format describes it, with none of Lifeboat's code: `age`, AES-GCM, HKDF, Ed25519 and zstd from elsewhere.

If this fails while golden_test passes, the pages and the code have parted. Needs the Python package `cryptography`, the program `age`, and
libzstd; exits with 77 where one is missing, which CTest calls skipped.
"""

import base64
import ctypes
import ctypes.util
import hashlib
import hmac
import json
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile

try:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF
except ImportError:
    sys.exit(77)
ZSTD = ctypes.util.find_library('zstd')
if not ZSTD or not shutil.which('age'):
    sys.exit(77)
ZSTD = ctypes.CDLL(ZSTD)
ZSTD.ZSTD_getFrameContentSize.restype = ctypes.c_ulonglong
ZSTD.ZSTD_decompress.restype = ctypes.c_size_t

ROOT = pathlib.Path(__file__).parent / 'v1'
PAGE = 8192


# ---- The keys of the golden site: the seeded generator of base/random.cc ----------------------------------------------

def seeded(state):
    while True:
        state = (state + 0x9e3779b97f4a7c15) % 2**64
        z = ((state ^ (state >> 30)) * 0xbf58476d1ce4e5b9) % 2**64
        z = ((z ^ (z >> 27)) * 0x94d049bb133111eb) % 2**64
        yield struct.pack('<Q', z ^ (z >> 31))


def draw(words):
    return b''.join(next(words) for _ in range(4))


def bech32(prefix, data):
    letters = 'qpzry9x8gf2tvdw0s3jn54khce6mua7l'
    bits = ''.join(f'{b:08b}' for b in data)
    bits += '0' * (-len(bits) % 5)
    values = [int(bits[i:i + 5], 2) for i in range(0, len(bits), 5)]
    check = 1
    for value in [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix] + values + [0] * 6:
        top = check >> 25
        check = (check & 0x1ffffff) << 5 ^ value
        for i, term in enumerate((0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3)):
            check ^= term if top >> i & 1 else 0
    check ^= 1
    return prefix + '1' + ''.join(letters[v] for v in values + [check >> 5 * (5 - i) & 31 for i in range(6)])


# ---- Conventions: README.md -------------------------------------------------------------------------------------------

class In:
    def __init__(self, data):
        self.data, self.at = data, 0

    def raw(self, count):
        self.at += count
        assert self.at <= len(self.data)
        return self.data[self.at - count:self.at]

    def uint(self, size):
        return int.from_bytes(self.raw(size), 'little')

    def varint(self):
        value = shift = 0
        while True:
            byte = self.uint(1)
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    def sized(self):
        return self.raw(self.varint())

    def at_end(self):
        return self.at == len(self.data)


def hkdf(key, salt, purpose):
    return HKDF(hashes.SHA256(), 32, salt, purpose.encode()).derive(key)


def mac(key, data):
    return hmac.new(key, data, 'sha256').digest()


def unseal(key, number, associated, sealed):
    return AESGCM(key).decrypt(number.to_bytes(12, 'little'), sealed, associated)


def expand(packed):
    size = ZSTD.ZSTD_getFrameContentSize(packed, ctypes.c_size_t(len(packed)))
    out = ctypes.create_string_buffer(size + 1)
    assert ZSTD.ZSTD_decompress(out, ctypes.c_size_t(size), packed, ctypes.c_size_t(len(packed))) == size
    return out.raw[:size]


class Reader:
    def __init__(self, identity_file, host_secret):
        self.identity_file, self.host_secret = identity_file, host_secret
        self.repository = bytes.fromhex(json.loads((ROOT / 'lifeboat.json').read_text())['repository'])
        self.map_key = hkdf(host_secret, self.repository, 'lifeboat v1 map')
        self.fingerprint_key = hkdf(host_secret, self.repository, 'lifeboat v1 fingerprint')

    def open_envelope(self, envelope):
        return subprocess.run(['age', '-d', '-i', self.identity_file], input=envelope, capture_output=True, check=True).stdout

    # ---- pack.md

    def pack(self, path, key=None, commitment=None):
        data = path.read_bytes()
        head = In(data)
        assert head.raw(8) == b'LBPACK\0\1' and head.raw(16) == self.repository
        pack, session, kind = head.raw(16), head.raw(16), head.uint(1)
        assert head.raw(3) == b'\1\0\0'
        envelope_size, label_size = head.uint(4), head.uint(4)
        envelope, label = head.raw(envelope_size), head.raw(label_size)
        key = key or self.open_envelope(envelope)
        assert commitment in (None, mac(key, b'lifeboat v1 commit' + session))
        pack_key = hkdf(key, pack, 'lifeboat v1 pack')

        table_size, count = struct.unpack('<II', data[-20:-12])
        assert data[-8:] == b'LBPEND\0\1'
        table = In(unseal(pack_key, 2**32 - 1, data[:64], data[-20 - table_size:-20]))
        frames = []
        while not table.at_end():
            entry = table.varint(), table.varint(), table.varint()
            header = head.raw(20)
            magic, number, frame_kind, codec, _, plain_size, sealed_size = struct.unpack('<4sIBBHII', header)
            assert (magic, number, (frame_kind, plain_size, sealed_size)) == (b'LBF1', len(frames), entry)
            plain = unseal(pack_key, number, header + data[:64], head.raw(sealed_size))
            plain = expand(plain) if codec == 1 else plain
            assert len(plain) == plain_size
            frames.append((frame_kind, plain))
        assert len(frames) == count and head.at == len(data) - 20 - table_size
        return {'pack': pack, 'session': session, 'kind': kind, 'label': label, 'frames': frames}

    # ---- manifest.md and map.md

    def backup(self, path):
        data = path.read_bytes()
        head = In(data)
        assert head.raw(8) == b'LBMANI\0\1'
        clear_size, envelope_size, sealed_size = head.uint(4), head.uint(4), head.uint(4)
        clear = json.loads(head.raw(clear_size))
        assert self.open_envelope(head.raw(envelope_size)) == self.host_secret
        before = data[:head.at]
        sealed = head.raw(sealed_size)
        signer = base64.b64decode(clear['signer'].removeprefix('ed25519:') + '==')
        Ed25519PublicKey.from_public_bytes(signer).verify(head.raw(64), data[:-64])
        assert head.at_end()
        key = hkdf(self.map_key, hashlib.sha256(before).digest(), 'lifeboat v1 manifest')
        inner = json.loads(expand(unseal(key, 0, before, sealed)))
        for item in clear['objects']:
            there = (ROOT / item['name']).read_bytes()
            assert len(there) == item['size'] and hashlib.sha256(there).hexdigest() == item['sha256']
        commitments = {s['id']: bytes.fromhex(s['commitment']) for s in inner['sessions']}
        packs = {}
        for item, ref in zip(clear['objects'], inner['packs']):
            packs[ref['index']] = self.pack(ROOT / item['name'], commitment=commitments[ref['session']])
            assert packs[ref['index']]['pack'].hex() == ref['pack']
        files, prints = {}, {}
        others = clear['objects'][len(inner['packs']):]
        maps, lists = others[:len(inner['maps'])], others[len(inner['maps']):]
        assert len(lists) == len(inner['prints'])
        for item, ref in zip(lists, inner['prints']):
            prints[ref['index']] = self.pack(ROOT / item['name'], key=self.map_key)
            assert prints[ref['index']]['pack'].hex() == ref['pack']
        for item in maps:
            self.maps(self.pack(ROOT / item['name'], key=self.map_key), packs, prints, files)
        return inner, files

    @staticmethod
    def listed(frame, wanted):
        kind, plain = frame
        entry = In(plain)
        assert kind == 4
        while not entry.at_end():
            path, first, count = entry.sized().decode(), entry.varint(), entry.varint()
            pages = entry.raw(16 * count)
            if (path, first) == wanted:
                return count
        raise AssertionError(f'{wanted} is not in its frame')

    @classmethod
    def maps(cls, pack, packs, prints, files):
        assert pack['kind'] == 2 and pack['session'] == bytes(16)
        for kind, plain in pack['frames']:
            entry = In(plain)
            while kind == 3 and not entry.at_end():
                path = entry.sized().decode()
                assert entry.uint(1) == 1
                entry.varint(), entry.varint()
                size, _, target, first = entry.varint(), entry.uint(4), entry.sized(), entry.varint()
                assert not target and first == 0
                content = b''
                for _ in range(entry.varint()):
                    pages = entry.varint()
                    if entry.uint(1) == 0:
                        content += bytes(pages * PAGE)
                    else:
                        index, frame, offset = entry.varint(), entry.varint(), entry.varint()
                        content += packs[index]['frames'][frame][1][offset:offset + pages * PAGE]
                files[path] = content[:size]
                assert len(files[path]) == size
            while kind == 6 and not entry.at_end():
                path, first, count = entry.sized().decode(), entry.varint(), entry.varint()
                index, frame, changes = entry.varint(), entry.varint(), entry.varint()
                listed = cls.listed(prints[index]['frames'][frame], (path, first))
                assert first == 0 and count == -(-len(files[path]) // PAGE)
                page, changed = 0, set()
                for _ in range(changes):
                    page += entry.varint()
                    entry.raw(16)
                    changed.add(page)
                    page += 1
                assert changed >= set(range(listed, count)) and page <= count

    # ---- stream.md

    def stream_pack(self, path):
        data = path.read_bytes()
        envelope_size, label_size = struct.unpack('<II', data[60:68])
        label = In(data[68 + envelope_size:68 + envelope_size + label_size])
        source, timeline, first, end = label.uint(8), label.uint(4), label.uint(8), label.uint(8)
        label.uint(4), label.uint(4), label.uint(8)
        content, summary, signer, commitment = label.raw(16), label.sized(), label.raw(32), label.raw(32)
        Ed25519PublicKey.from_public_bytes(signer).verify(label.data[label.at:], b'lifeboat v1 stream' + data[:64] + label.data[:label.at])
        pack = self.pack(path, commitment=commitment)
        wal = b''.join(plain for kind, plain in pack['frames'] if kind == 2)
        assert pack['kind'] == 3 and len(wal) == end - first
        assert path.name.startswith(f'{first:016X}-{end:016X}.') and path.parent.name == f'{timeline:08X}'
        assert mac(self.fingerprint_key, hashlib.sha256(wal).digest())[:16] == content
        assert not summary or unseal(hkdf(self.map_key, pack['pack'], 'lifeboat v1 summary'), 0, pack['pack'], summary) == b's' * 40
        assert source == 7000000000000000001
        return wal

    def history(self, path):
        pack = self.pack(path, key=self.map_key)
        (kind, plain), = pack['frames']
        assert (pack['kind'], kind) == (2, 5)
        digest = mac(self.fingerprint_key, plain[4:])[:8].hex()
        assert path.name == f'{int.from_bytes(plain[:4], "little"):08X}-{digest}.history'
        return plain[4:]


def main():
    words = seeded(20260123)
    identities, host_secret = [draw(words), draw(words)], draw(words)
    with tempfile.NamedTemporaryFile('w') as file:
        file.write(bech32('age-secret-key-', identities[1]).upper() + '\n')
        file.flush()
        reader = Reader(file.name, host_secret)
        (full, before), (incremental, after) = [reader.backup(path) for path in sorted(ROOT.glob('s/prod/manifest/*'))]
        assert (full['kind'], incremental['kind']) == ('full', 'incremental')
        changed = bytearray(before['base/1/1259'])
        changed[3 * PAGE + 5] = ord('!')
        assert after == before | {'base/1/1259': bytes(changed)} and before['PG_VERSION'] == b'15\n'
        wal = b''.join(reader.stream_pack(path) for path in sorted(ROOT.glob('s/prod/wal*/*/*/*'), key=lambda path: path.name))
        assert wal == bytes(at % 7 * 31 % 256 for at in range(0x1000000, 0x1002000))
        assert [reader.history(path) for path in ROOT.glob('s/prod/history/*')] == [b'1\t0/1002000\tno recovery target specified\n']
    print('two backups, the stream and the history were read as docs/format describes them')


if __name__ == '__main__':
    main()
