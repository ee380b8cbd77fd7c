#!/usr/bin/env python3
"""Checks docs/traps.md against the tests: each trap has a row and a test, each test named there exists, and each test that carries a trap's
number is named in that trap's row.

usage: check_traps.py | --self-test
"""

import re
import sys

from source_text import ROOT, code_only, files, report

TRAPS = 33
TEST = re.compile(r'\bTEST(?:_F|_P)?\s*\(\s*(\w+)\s*,\s*(\w+)\s*\)')
ROW = re.compile(r'^\| T(\d+) [^|]*\|([^|]*)\|([^|]*)\|$')
NAMED = re.compile(r'`(\w+\.\w+)`')


def tests_in(text):
    return {f'{suite}.{name}' for suite, name in TEST.findall(code_only(text))}


def numbers_of(test):
    """The traps in a test's name: {8, 10} for Trap.T8_T10_ABackupStandsOnItsOwn."""
    return {int(part[1:]) for part in test.split('.')[1].split('_') if re.fullmatch(r'T\d+', part)}


def check(page, tests):
    rows = {}
    for line in page.splitlines():
        match = ROW.match(line)
        if match:
            number = int(match[1])
            if number in rows:
                yield f'T{number} has two rows'
            rows[number] = set(NAMED.findall(match[3]))
            if not rows[number] and not re.match(r'\s*not yet: \S', match[3]):
                yield f'T{number} has neither a test nor "not yet: why"'
            for name in sorted(rows[number] - tests):
                yield f'T{number} names the test {name}, which does not exist'
    for number in sorted(set(range(1, TRAPS + 1)) - set(rows)):
        yield f'T{number} has no row'
    for test in sorted(tests):
        for number in sorted(numbers_of(test)):
            if number in rows and test not in rows[number]:
                yield f'{test} is not in the row of T{number}'


def self_test():
    assert tests_in('TEST(A, T1_B) {}\nTEST_F(C,\n  D) {}\n// TEST(E, F)\nTEST_P( G , H ) {}') == {'A.T1_B', 'C.D', 'G.H'}
    assert numbers_of('Trap.T8_T10_ABackup') == {8, 10}
    assert numbers_of('Trap.P5_AtT1') == set()
    good = ''.join(f'| T{n} x | rule | {"`A.T1_B`" if n == 1 else "not yet: later"} |\n' for n in range(1, TRAPS + 1))
    assert not list(check(good, {'A.T1_B', 'C.D'}))
    bad = {
        'T2 has no row': good.replace('| T2 x | rule | not yet: later |\n', ''),
        'T3 has two rows': good + '| T3 x | rule | not yet: later |\n',
        'T4 has neither a test nor "not yet: why"': good.replace('| T4 x | rule | not yet: later |', '| T4 x | rule | |'),
        'T1 names the test A.T1_C, which does not exist': good.replace('`A.T1_B`', '`A.T1_B` `A.T1_C`'),
        'A.T1_B is not in the row of T1': good.replace('`A.T1_B`', '`C.D`'),
    }
    for problem, page in bad.items():
        assert list(check(page, {'A.T1_B', 'C.D'})) == [problem], (problem, list(check(page, {'A.T1_B', 'C.D'})))
    print('check_traps: self-test passed')
    return 0


def main(arguments):
    if arguments == ['--self-test']:
        return self_test()
    tests = set()
    for path in files('src', 'tests', suffixes={'.cc'}):
        tests |= tests_in(path.read_text())
    return report(list(check((ROOT / 'docs' / 'traps.md').read_text(), tests)), 'check_traps')


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
