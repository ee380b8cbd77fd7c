#!/usr/bin/env python3
"""Checks every #include under src/ against the rooms' own declarations.

usage: check_layers.py BUILD/layers.txt | --self-test

layers.txt, written by cmake/rooms.cmake, has a line `room layer used,used,` for each room. The compiler cannot tell a declared room
from another, since all share one include root. So: a file may include its own room and the rooms that its room declares;
`room/internal/` is for that room alone; a third-party library is included by its home only, and never from a header. main.cc is
exempt from the first rule and the third: it puts the concrete pieces together.
"""

import pathlib
import re
import sys
import tempfile

from source_text import ROOT, files, line_of, report, without_comments

# Header pattern: the folder or file under src/ that may include it. docs/adr/0002 gives the reasons.
HOMES = {
    r'libpq.*|postgres_ext\.h|pg_config.*': 'postgres/',
    r'nlohmann/.*': 'base/json.cc',
    r'yaml-cpp/.*': 'config/',
    r'CLI/.*': 'cli/',
    r'openssl/.*|sodium\.h|sodium/.*': 'crypto/',
    r'zstd.*\.h|zdict\.h': 'repo/',
    r'isa-l/.*|isa-l\.h': 'base/',
}
HEAVY = r'regex|iostream|filesystem|future'  # seconds per inclusion, so never in a header
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"\n]+)[>"]', re.MULTILINE)


def read_layers(path):
    """room -> (layer, rooms it declares)"""
    rooms = {}
    for line in pathlib.Path(path).read_text().splitlines():
        if line.strip():
            name, layer, *uses = line.split()
            rooms[name] = (int(layer), {use for use in ''.join(uses).split(',') if use})
    return rooms


def check_rooms(rooms):
    for name, (layer, uses) in rooms.items():
        for use in sorted(uses & rooms.keys()):
            if rooms[use][0] >= layer:
                yield f'layers: {name} (layer {layer}) declares {use} (layer {rooms[use][0]})'


def check_room_include(room, header, rooms, src):
    other = header.split('/')[0]
    if other == room:
        return None
    if other not in rooms:
        return f'includes "{header}" of a room that is not built' if (src / other).is_dir() else None
    if other not in rooms[room][1]:
        return f'includes "{header}", but {room} does not declare {other}'
    if header.startswith(f'{other}/internal/'):
        return f'includes "{header}", which is for {other} alone'
    return None


def check_library_include(file, header):
    in_header = file.endswith('.h')
    if in_header and re.fullmatch(HEAVY, header):
        return f'includes <{header}>, which belongs in a .cc file'
    for pattern, home in HOMES.items():
        if re.fullmatch(pattern, header):
            if not file.startswith(home):
                return f'includes <{header}>, whose home is src/{home}'
            if in_header and '/internal/' not in file:
                return f'includes <{header}> in a header that other rooms see'
    return None


def check_sources(rooms, src):
    for path in files('.', suffixes={'.h', '.cc'}, root=src):
        file = path.relative_to(src).as_posix()
        room = file.split('/')[0]
        if file == 'main.cc':
            continue
        if room not in rooms:
            yield f'src/{file}:1: stands in no declared room'
            continue
        text = without_comments(path.read_text())
        for match in INCLUDE.finditer(text):
            header = match[2]
            problem = check_room_include(room, header, rooms, src) or check_library_include(file, header)
            if problem:
                yield f'src/{file}:{line_of(text, match.start())}: {problem}'


def self_test():
    layers = 'base 0 ,lib_json\nstore 1 base,\nrepo 2 base,store,lib_zstd\n'
    cases = {  # file, text: what must be said, or nothing
        ('store/a.cc', '#include "base/files.h"\n#include "store/a.h"\n#include <vector>\n'): '',
        ('store/b.cc', '#include "repo/pack.h"\n'): 'store/b.cc:1: includes "repo/pack.h", but store does not declare repo',
        ('base/c.cc', '\n\n#include "store/a.h"\n'): 'base/c.cc:3: includes "store/a.h"',
        ('repo/d.cc', '#include <zstd.h>\n// #include <sodium.h>\n'): '',
        ('repo/d.h', '#include <zstd.h>\n'): 'in a header that other rooms see',
        ('repo/internal/d.h', '#include <zstd.h>\n'): '',
        ('store/e.cc', '#include <zstd.h>\n'): 'whose home is src/repo/',
        ('base/f.cc', '#include <nlohmann/json.hpp>\n'): 'whose home is src/base/json.cc',
        ('base/json.cc', '  #  include <nlohmann/json.hpp>\n'): '',
        ('repo/g.cc', '#include "store/internal/x.h"\n'): 'which is for store alone',
        ('repo/h.h', '#include <regex>\n'): 'belongs in a .cc file',
        ('repo/i.cc', '#include <regex>\n#include "tests/support/expect.h"\n'): '',
        ('lost/j.cc', ''): 'stands in no declared room',
        ('store/k.cc', '#include "lost/x.h"\n'): 'of a room that is not built',
        ('main.cc', '#include "repo/x.h"\n#include <CLI/CLI.hpp>\n'): '',
    }
    with tempfile.TemporaryDirectory() as folder:
        src = pathlib.Path(folder)
        (src / 'layers.txt').write_text(layers)
        for (file, text) in cases:
            (src / file).parent.mkdir(parents=True, exist_ok=True)
            (src / file).write_text(text)
        rooms = read_layers(src / 'layers.txt')
        found = list(check_sources(rooms, src))
    for (file, _), expected in cases.items():
        about = [problem for problem in found if problem.startswith(f'src/{file}:')]
        assert len(about) == (1 if expected else 0), (file, about)
        assert not expected or expected in about[0], (file, about)
    assert not list(check_rooms(rooms))
    assert list(check_rooms({'a': (1, {'b'}), 'b': (1, set())})) == ['layers: a (layer 1) declares b (layer 1)']
    print('check_layers: self-test passed')
    return 0


def main(arguments):
    if arguments == ['--self-test']:
        return self_test()
    if len(arguments) != 1:
        print(__doc__)
        return 2
    rooms = read_layers(arguments[0])
    return report([*check_rooms(rooms), *check_sources(rooms, ROOT / 'src')], 'check_layers')


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
