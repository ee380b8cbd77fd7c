#!/usr/bin/env python3
"""Checks that TRY is a whole statement, a whole initializer, or all that is assigned.

usage: check_try.py [FILE...] | --self-test

TRY returns from the middle of an expression. Where that expression has built something already (a braced initializer, an argument list)
g++ 12 leaks it, and the reader loses an exit. So it stands alone: `TRY(f());`, `auto x = TRY(f());`, `x = TRY(f());`.
"""

import pathlib
import re
import sys

from source_text import ROOT, closing, code_only, files, line_of, report

USE = re.compile(r'(?<![\w.])TRY\s*\(')
LABEL = re.compile(r'^(?:case\s[^;{}()?]*?[^:]:(?!:)|default\s*:)\s*')
TARGET = re.compile(r'^\*?[A-Za-z_][\w:<>,\s*&\[\].\->]*$')
NOT_A_TARGET = re.compile(r'^(?:return|co_return|co_yield|throw|else|do|if|while|for|switch|delete|goto)\b')


def stands_alone(before, after):
    """`before`: the text of the statement up to TRY; `after`: what follows its closing bracket."""
    if not after.lstrip().startswith(';'):
        return False
    before = LABEL.sub('', before.strip())
    if before == '':
        return True
    if not before.endswith('=') or before[-2:-1] in tuple('=!<>+-*/%&|^'):
        return False
    target = before[:-1].strip()
    return bool(TARGET.match(target)) and not NOT_A_TARGET.match(target)


def check_text(text):
    code = code_only(text)
    for use in USE.finditer(code):
        end = closing(code, use.end() - 1)
        start = max(code.rfind(c, 0, use.start()) for c in ';{}') + 1
        # A '{' that opens a braced initializer, and not a block, comes after a name or '='.
        opened_by = code[:start - 1].rstrip()[-1:] if start and code[start - 1] == '{' else ''
        braced = opened_by == '=' or opened_by == ',' or opened_by == '('
        if end < 0 or braced or not stands_alone(code[start:use.start()], code[end + 1:end + 40]):
            yield line_of(code, use.start())


GOOD = [
    'TRY(f());',
    'if (x) { TRY(f()); }',
    'auto x = TRY(f());',
    'const auto& x = TRY(f(1, g(2)));',
    'const std::map<int, std::string> x = TRY(f());',
    'auto [a, b] = TRY(f());',
    'x.y->z_[3] = TRY(f());',
    '*out = TRY(f());',
    'auto f = [&]() -> Result<> { TRY(g()); return {}; };',
    'switch (x) { case base::Code::Bug: TRY(f()); break; default: TRY(g()); }',
    'x = 1; TRY(f().during("a ; b } ( c"));',
    '// return TRY(f());\n/* g(TRY(f())) */ "TRY(x) + 1";',
    'for (auto& x : all) { TRY(f(x)); }',
    'MY_TRY(f()) + 1; x.TRY(y) + 2;',
    '#define TRY(expr) \\\n    (__extension__({ f(TRY(expr)) }))\nTRY(f());',
    'auto c = \'"\'; auto n = 1\'000; TRY(f());',
    'auto r = R"x(return TRY(a);)x"; TRY(f());',
]
BAD = [
    'return TRY(f());',
    'g(TRY(f()));',
    'A a{TRY(f())};',
    'A a = {TRY(f())};',
    'A a = {1, TRY(f())};',
    'g({TRY(f()); });',
    'if (TRY(f())) {}',
    'if (auto x = TRY(f())) {}',
    'for (auto x = TRY(f()); ;) {}',
    'while (TRY(f())) {}',
    'auto x = TRY(f()) + 1;',
    'auto x = 1 + TRY(f());',
    'auto x = TRY(f()).member;',
    'auto x = c ? TRY(f()) : g();',
    'x += TRY(f());',
    'x == TRY(f());',
    'std::unique_ptr<T> p(TRY(f()));',
    'else TRY(f());',
    'if (x) TRY(f());',
    'auto x = *TRY(f());',
    'throw TRY(f());',
    'TRY(f(TRY(g())));',
    'const A a = {.x = TRY(f())};',
]


def self_test():
    for text in GOOD:
        assert not list(check_text(text)), text
    for text in BAD:
        assert list(check_text(text)), text
    assert list(check_text('\n\nTRY(a());\nreturn TRY(f());')) == [4]
    print('check_try: self-test passed')
    return 0


def main(arguments):
    if arguments == ['--self-test']:
        return self_test()
    chosen = [pathlib.Path(name).resolve() for name in arguments] or files('src', 'tests', 'bench', suffixes={'.h', '.cc'})
    problems = []
    for path in chosen:
        name = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
        problems += [f'{name}:{line}: TRY is not a whole statement or initializer' for line in check_text(path.read_text())]
    return report(problems, 'check_try')


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
