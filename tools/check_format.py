#!/usr/bin/env python3
"""Checks that every C++ file looks as clang-format leaves it.

usage: check_format.py CLANG_FORMAT
"""

import subprocess
import sys

from source_text import ROOT, files


def main(arguments):
    if len(arguments) != 1:
        print(__doc__)
        return 2
    sources = files('src', 'tests', 'bench', suffixes={'.h', '.cc'})
    done = subprocess.run([arguments[0], '--dry-run', '-Werror', *map(str, sources)], cwd=ROOT, capture_output=True, text=True, check=False)
    wrong = sorted({line.split(':')[0] for line in done.stderr.splitlines() if 'clang-format-violations' in line})
    for name in wrong:
        print(f'{name}: run {arguments[0]} -i on it')
    if done.returncode != 0 and not wrong:
        print(done.stderr)
    print(f'check_format: {len(sources)} files, {len(wrong)} to format')
    return done.returncode


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
