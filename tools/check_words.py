#!/usr/bin/env python3
"""Checks for words that promise work instead of doing it, and for files and functions that have grown too long.

usage: check_words.py | --self-test

A file has at most 500 lines, a function at most 80. waivers.txt beside this file lists the exceptions, each with its reason; one that is
no longer needed is a problem too, so that the list only shrinks.
"""

import pathlib
import re
import sys

from source_text import ROOT, closing, code_only, files, line_of, report

FOLDERS = ('src', 'tests', 'scripts')
CODE = {'.h', '.cc'}
TEXT = CODE | {'.py', '.sh', '.txt', '.md', '.yaml', '.sql', 'CMakeLists.txt'}
WORDS = re.compile(r'\b(?:TO' r'DO|FIX' r'ME|X' r'XX|HA' r'CK)\b')  # split, so that this file passes its own check
MOST_FILE_LINES = 500
MOST_FUNCTION_LINES = 80

# What stands before a '{' that is no function's.
NOT_A_FUNCTION = re.compile(
    r'^(?:(?:inline\s+)?namespace|(?:template\s*<.*>\s*)?(?:class|struct|union)|enum|extern|if|else|for|while|switch|do|try|catch|return)\b', re.DOTALL)
# `C(int x) : x_` before '{x}': a member's initializer, and the body comes later.
MEMBER = re.compile(r'\)\s*(?:noexcept\s*)?:(?!:)(?:.*,)?\s*[\w:]+(?:<[^{}()]*>)?\s*$', re.DOTALL)
LEAD = re.compile(r'(?:\s|\b(?:public|private|protected)\s*:(?!:))*')  # what may stand before a function's first line
NAME = re.compile(r'((?:[\w~]+(?:<[^<>]*>)?::)*(?:operator\s*\S+?|~?\w+))\s*\(')


def function_name(header):
    """The function that a '{' after `header` begins, or nothing."""
    header = re.sub(r'\b(?:public|private|protected)\s*:(?!:)', ' ', header).strip()
    header = re.sub(r'\[\[[^\]]*\]\]', ' ', header).strip()
    if '(' not in header or NOT_A_FUNCTION.match(header) or '=' in header.split('(')[0].replace('operator', ''):
        return None
    match = NAME.search(header)
    return match[1] if match else None


def functions(text):
    """(name, first line, number of lines) of each function; those inside a function belong to it."""
    code = code_only(text)
    at = 0
    start = 0
    while at < len(code):
        c = code[at]
        if c in ';}':
            start = at + 1
        elif c == '(':
            end = closing(code, at)
            if end < 0:
                return
            at = end
        elif c == '{' and MEMBER.search(code[start:at]):
            at = closing(code, at)
            if at < 0:
                return
        elif c == '{':
            header = code[start:at]
            name = function_name(header)
            end = closing(code, at)
            if end < 0:
                return
            if name:
                first = line_of(code, start + LEAD.match(header).end())
                yield name, first, line_of(code, end) - first + 1
                at = end
            start = at + 1
        at += 1


def check_file(name, text, is_code):
    """(key of a waiver, problem)"""
    for number, line in enumerate(text.splitlines(), 1):
        if WORDS.search(line):
            yield f'word {name}', f'{name}:{number}: {WORDS.search(line)[0]}: do it, or leave it out'
    lines = text.count('\n')
    if lines > MOST_FILE_LINES and is_code:
        yield f'file {name}', f'{name}:1: {lines} lines, more than {MOST_FILE_LINES}'
    if is_code:
        for function, first, length in functions(text):
            if length > MOST_FUNCTION_LINES:
                yield f'function {name}:{function}', f'{name}:{first}: {function} has {length} lines, more than {MOST_FUNCTION_LINES}'


def read_waivers(text):
    """`file src/a.cc  reason`, `function src/a.cc:f  reason`, `word src/a.cc  reason` -> key: line number"""
    waivers = {}
    problems = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith('#'):
            continue
        kind, _, rest = line.partition(' ')
        key, _, reason = rest.strip().partition(' ')
        if kind not in ('file', 'function', 'word') or not reason.strip():
            problems.append(f'tools/waivers.txt:{number}: not of the form `file|function|word NAME  reason`')
        waivers[f'{kind} {key}'] = number
    return waivers, problems


def judge(found, waivers):
    used = set()
    for key, problem in found:
        if key in waivers:
            used.add(key)
        else:
            yield problem
    for key in waivers.keys() - used:
        yield f'tools/waivers.txt:{waivers[key]}: nobody needs the waiver for {key}'


def self_test():
    body = 'int x;\n' * 78
    source = (
        'namespace a {\nclass C final : public B {\n  public:\n    C(int x) : x_{x} {\n' + body + '    }\n'
        '    void small() const noexcept override {}\n};\n'
        'template <class T>\nResult<std::vector<T>> C::large(const T& t, int (*f)(int)) {\n    if (t) {\n' + body + '    }\n}\n'
        'constexpr Case kTable[] = {\n' + '    {1, f(2)},\n' * 100 + '};\n'
        'enum class E {\n' + '    A,\n' * 100 + '};\n'
        'const auto kLambda = [](int x) {\n    return x;\n};\n'
        'TEST(Suite, Fact) {\n    g([] {\n' + body + '    });\n}\n'
        '}  // namespace a\n')
    lengths = {name: length for name, _, length in functions(source)}
    assert lengths['C'] == 80 and lengths['small'] == 1, lengths
    assert lengths['C::large'] == 83 and lengths['TEST'] == 82, lengths
    assert set(lengths) == {'C', 'small', 'C::large', 'TEST'}, lengths
    found = dict(check_file('src/a.cc', source, True))
    assert set(found) == {'function src/a.cc:C::large', 'function src/a.cc:TEST'}, found
    assert not list(check_file('src/a.cc', 'x\n' * 500, True)) and not list(check_file('a.md', 'x\n' * 501, False))
    assert [key for key, _ in check_file('src/a.cc', 'x\n' * 501, True)] == ['file src/a.cc']
    for word in ('TO' 'DO', 'FIX' 'ME:', '// X' 'XX', '(HA' 'CK)'):
        assert [key for key, _ in check_file('a', f'fine\n{word}\n', False)] == ['word a'], word
    assert not list(check_file('a', 'mkdtemp lifeboat-XXX' 'XXX, autodo, HACKS, todo\n', False))
    waivers, problems = read_waivers('# why\nfile src/a.cc  one table\nfunction src/b.cc:f\n')
    assert len(problems) == 1 and set(waivers) == {'file src/a.cc', 'function src/b.cc:f'}
    assert list(judge([('file src/a.cc', 'x'), ('word c', 'y')], {'file src/a.cc': 2, 'file d': 3})) == [
        'y', 'tools/waivers.txt:3: nobody needs the waiver for file d']
    print('check_words: self-test passed')
    return 0


def main(arguments):
    if arguments == ['--self-test']:
        return self_test()
    if arguments:
        print(__doc__)
        return 2
    waivers, problems = read_waivers((ROOT / 'tools' / 'waivers.txt').read_text())
    found = []
    for path in files(*FOLDERS, suffixes=TEXT):
        found += check_file(path.relative_to(ROOT).as_posix(), path.read_text(errors='replace'), path.suffix in CODE)
    return report([*problems, *judge(found, waivers)], 'check_words')


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
