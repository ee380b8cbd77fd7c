"""What the checks share: which files are ours, and C++ with its comments, strings and directives blanked out."""

import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parent.parent

_TOKENS = re.compile(
    r'''(?P<comment>//(?:[^\n\\]|\\.)*|/\*.*?\*/)
      | (?P<raw>\b(?:u8|[uUL])?R"(?P<tag>[^()\\\s]{0,16})\(.*?\)(?P=tag)")
      | (?P<string>"(?:[^"\\\n]|\\.)*")
      | (?P<number>\b\d(?:'?[\w.])*)
      | (?P<char>'(?:[^'\\\n]|\\.)+')
    ''', re.DOTALL | re.VERBOSE)


def files(*folders, suffixes, root=ROOT):
    """All files below the folders with one of the suffixes (or names), sorted."""
    found = []
    for folder in folders:
        for path in sorted((root / folder).rglob('*')):
            if path.is_file() and (path.suffix in suffixes or path.name in suffixes):
                found.append(path)
    return found


def _blank(text):
    return ''.join(c if c == '\n' else ' ' for c in text)


def without_comments(text):
    """The same text, each comment as blanks: offsets and line numbers stay."""
    return _TOKENS.sub(lambda m: _blank(m[0]) if m['comment'] else m[0], text)


def code_only(text):
    """Comments, literals and preprocessor directives as blanks: what is left is punctuation and names."""

    def replace(match):
        if match['number']:
            return match[0].replace("'", '0')
        if match['comment']:
            return _blank(match[0])
        return '"' + _blank(match[0][1:-1]) + '"'

    text = _TOKENS.sub(replace, text)
    return re.sub(r'^[ \t]*#(?:[^\n]*\\\n)*[^\n]*', lambda m: _blank(m[0]), text, flags=re.MULTILINE)


def line_of(text, offset):
    return text.count('\n', 0, offset) + 1


def closing(text, opening):
    """The offset of the bracket that closes the one at `opening`, or -1."""
    pairs = {'(': ')', '{': '}', '[': ']'}
    wanted = []
    for at in range(opening, len(text)):
        c = text[at]
        if c in pairs:
            wanted.append(pairs[c])
        elif wanted and c == wanted[-1]:
            wanted.pop()
            if not wanted:
                return at
    return -1


def report(problems, what):
    """Prints the problems; the exit status for them."""
    for problem in problems:
        print(problem)
    print(f'{what}: {len(problems)} problem(s)' if problems else f'{what}: clean')
    return 1 if problems else 0
