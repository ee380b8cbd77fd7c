"""What the person sees: steps with their times, and tables. Colours on a terminal only, and never with NO_COLOR."""

import contextlib
import os
import shutil
import sys
import threading
import time
import unicodedata

COLOURS = {'good': '32', 'warn': '33', 'bad': '31', 'dim': '2', 'bold': '1', 'title': '1;36'}


def is_terminal():
    return sys.stdout.isatty()


def tint(tone, text):
    if not is_terminal() or os.environ.get('NO_COLOR'):
        return text
    return f'\033[{COLOURS[tone]}m{text}\033[0m'


def width(text):
    """Columns on the screen, colours not counted."""
    count, inside = 0, False
    for c in text:
        if c == '\033':
            inside = True
        elif inside:
            inside = c != 'm'
        elif not unicodedata.combining(c):
            count += 1
    return count


def pad(text, columns, right=False):
    blanks = ' ' * max(0, columns - width(text))
    return blanks + text if right else text + blanks


def seconds(value):
    if value < 0.0995:
        return f'{value * 1000:.0f} ms'
    if value < 9.95:
        return f'{value:.1f} s'
    return f'{value:.0f} s' if value < 99.5 else f'{int(value // 60)} min {int(value % 60)} s'


def size(value):
    for unit in ('B', 'KiB', 'MiB'):
        if value < 1023.5:
            return f'{value:.0f} {unit}'
        value /= 1024
    return f'{value:.2f} GiB'


def count(value):
    return f'{value:,}'.replace(',', '\u202f')


def line(text=''):
    print(text, flush=True)


def title(text):
    line()
    line(tint('title', text))


def say(text):
    """A sentence beside the steps."""
    line(f'    {tint("dim", text)}')


def command(text):
    """A command as a person would type it."""
    line(f'    {tint("bold", "$ " + text)}')


@contextlib.contextmanager
def step(what):
    """Shows that something is at work, then what came of it: the body may set .said on what it gets."""
    class Outcome:
        said = ''
    outcome = Outcome()
    began = time.monotonic()
    ended = threading.Event()

    def spin():
        columns = shutil.get_terminal_size().columns - 16
        for turn in range(1 << 30):
            mark = '⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏'[turn % 10]
            sys.stdout.write(f'\r\033[K  {tint("warn", mark)} {what[:columns]}  {time.monotonic() - began:.0f} s')
            sys.stdout.flush()
            if ended.wait(0.1):
                sys.stdout.write('\r\033[K')
                return
    spinner = threading.Thread(target=spin, daemon=True)
    if is_terminal():
        spinner.start()
    good = False
    try:
        yield outcome
        good = True
    finally:
        ended.set()
        if is_terminal():
            spinner.join()
        mark = tint('good', '✓') if good else tint('bad', '✗')
        taken = tint('dim', seconds(time.monotonic() - began))
        line(f'  {mark} {pad(what, 50)} {pad(outcome.said, 48)} {taken}')


def table(rows, right=()):
    """Rows of cells in a box; the first is the heading, None is a line across; `right` are the columns that end flush."""
    cells = [row for row in rows if row]
    widths = [max(width(row[i]) for row in cells) for i in range(len(cells[0]))]

    def rule(left, middle, end_of_it):
        return tint('dim', left + middle.join('─' * (w + 2) for w in widths) + end_of_it)
    line('  ' + rule('╭', '┬', '╮'))
    for number, row in enumerate(rows):
        if row is None:
            line('  ' + rule('├', '┼', '┤'))
            continue
        texts = [tint('bold', cell) if number == 0 else cell for cell in row]
        bar = tint('dim', '│')
        line('  ' + bar + bar.join(f' {pad(text, w, i in right and number > 0)} ' for i, (text, w) in enumerate(zip(texts, widths))) + bar)
    line('  ' + rule('╰', '┴', '╯'))
