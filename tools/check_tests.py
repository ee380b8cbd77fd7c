#!/usr/bin/env python3
"""Checks that every test is built: each *_test.cc stands in a CMakeLists.txt. A test that nobody runs cannot fail.

usage: check_tests.py | --self-test
"""

import re
import sys

from source_text import ROOT, report

LISTED = re.compile(r'[\w/]*?(\w+_test\.cc)\b')


def unlisted(tests, lists):
    """Names of `tests` that no text of `lists` has outside of a comment."""
    found = set()
    for text in lists:
        for line in text.splitlines():
            found.update(LISTED.findall(line.split('#')[0]))
    return sorted(name for name in tests if name.rsplit('/', 1)[-1] not in found)


def self_test():
    assert unlisted(['src/a/b_test.cc', 'c_test.cc'], ['TESTS\n  b_test.cc # c_test.cc\n']) == ['c_test.cc']
    assert unlisted(['x_test.cc'], ['"${D}/tests/x_test.cc"']) == []
    assert unlisted(['x_test.cc'], ['prefix_x_test.cc']) == ['x_test.cc']
    return 0


def main(arguments):
    if arguments == ['--self-test']:
        return self_test()
    folders = [ROOT / 'src', ROOT / 'tests']
    tests = [str(path.relative_to(ROOT)) for folder in folders for path in folder.rglob('*_test.cc')]
    lists = [path.read_text() for folder in folders for path in folder.rglob('CMakeLists.txt')]
    return report([f'{name} stands in no CMakeLists.txt' for name in unlisted(tests, lists)], 'check_tests')


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
