"""Runs the comparison and writes its tables. See bench/compare and docs/benchmarks.md."""

import argparse
import collections
import os
import pathlib
import platform
import shutil
import sys
import time

from ground import Ground, median  # first: it finds scripts/lib

import contenders
import replay
import screen
import under_load
from lifeboat import Lifeboat
from machine import Failed, Place, ask_to_stop_on_signals

SECTIONS = ('full', 'restore', 'incremental', 'wal', 'replay', 'verify')
DOCUMENT = pathlib.Path(__file__).resolve().parent.parent / 'docs' / 'benchmarks.md'
BEGIN, END = '<!-- results: bench/compare --record writes between these lines -->\n', '<!-- end of results -->\n'
CHANGES = (0.001, 0.01, 0.05)  # shares of all pages; the middle one has a budget
BUDGETED = 0.01


class Comparison:
    def __init__(self, place, options):
        self.options = options
        self.place = place
        self.runs = collections.defaultdict(list)  # (section, name) -> runs
        self.newer = contenders.newer_pgbackrest(place, options.newer)
        self.ground = None
        self.bytes = 0

    def prepare(self):
        with screen.step(f'a cluster of scale {self.options.scale}') as step:
            self.ground = Ground(self.place, self.options.scale)
            self.bytes = self.ground.cluster.size()
            step.said = screen.size(self.bytes)

    def wants(self, *sections):
        return any(section in self.options.only for section in sections)

    def note(self, section, contender, run):
        self.runs[section, contender.name].append(run)
        return run

    def measure(self, section, contender, action, said):
        """One timed run, from the same state as every other."""
        self.ground.settle(contender.home)
        with screen.step(f'{section}: {contender.name}') as step:
            run = self.note(section, contender, action())
            step.said = f'{screen.seconds(run.seconds)}, {said(run)}'

    # ---- Sections ----------------------------------------------------------------------------------------------------

    def field(self):
        """Who makes full backups. The one with a level of its own shows what the default level of pgBackRest costs it."""
        ground = self.ground
        found = [contenders.Ours(ground), contenders.PgBackRest(ground, 'pgbackrest', '/usr/bin/pgbackrest'),
                 contenders.PgBackRest(ground, 'pgbackrest-1', '/usr/bin/pgbackrest', {'compress-level': 1}),
                 contenders.BaseBackup(ground, 'basebackup'), contenders.Restic(ground, 'restic'), contenders.BareLoop(ground, self.options.limit)]
        found[2].name += ', level 1'
        return found

    def full_restore_verify(self):
        field = self.field()
        rounds = self.options.runs if self.wants('full') else 1
        for _ in range(rounds):
            for contender in field:
                contender.prepare()
                if self.wants('full') or not isinstance(contender, contenders.BareLoop):
                    self.measure('full', contender, contender.full, lambda run: f'{screen.size(run.stored)} stored')
        for section in ('restore', 'verify'):
            able = [contender for contender in field if hasattr(contender, section)]
            for _ in range(self.options.runs if self.wants(section) else 0):
                for contender in able:
                    self.measure(section, contender, getattr(contender, section), lambda run: f'{self.bytes / run.seconds / 1e6:.0f} MB/s')
        for contender in field:
            contender.clear()
        if not self.wants('full'):
            self.runs = {key: runs for key, runs in self.runs.items() if key[0] != 'full'}

    def incremental(self):
        field = [contenders.Ours(self.ground, 'lifeboat-i'), contenders.Restic(self.ground, 'restic-i')]
        if self.newer:
            field.insert(1, contenders.PgBackRest(self.ground, 'pgbackrest-i', self.newer, {'repo1-block': 'y'}))
        for contender in field:
            contender.prepare()
            self.measure('full before incremental', contender, contender.full, lambda run: f'{screen.size(run.stored)} stored')
        for share in CHANGES:
            for _ in range(self.options.runs if share == BUDGETED else 1):
                self.ground.change_pages(share)
                for contender in field:
                    self.measure(f'incremental, {share:.1%} of pages changed', contender, contender.incremental,
                                 lambda run: f'{screen.size(run.stored)} stored')
        for contender in field:
            contender.clear()

    def wal(self):
        for _ in range(self.options.runs):
            for mode in under_load.modes(self.ground, '/usr/bin/pgbackrest'):
                with screen.step(f'pgbench: {mode.name}') as step:
                    run = self.note('wal', mode, under_load.measure(self.ground, mode, self.options.seconds))
                    lag = f', lag p99 {screen.seconds(percentile(run.lags, 0.99))}' if run.lags else ''
                    step.said = f'{run.rate:.0f} transactions/s{lag}'

    def replay(self):
        with screen.step(f'{self.options.seconds} s of pgbench to be replayed') as step:
            history = replay.History(self.ground, self.options.seconds)
            step.said = f'{screen.size(history.bytes)} of WAL'
        for _ in range(self.options.runs):
            for feeder, action in ((replay.Fed, history.fed), (replay.Copied, history.copied)):
                with screen.step(f'replay: {feeder.name}') as step:
                    run = self.note('replay', feeder, action())
                    step.said = f'{screen.seconds(run.seconds)}, {history.bytes / run.seconds / 1e6:.0f} MB/s of WAL'
        history.clear()

    def run(self):
        self.prepare()
        if self.wants('full', 'restore', 'verify'):
            self.full_restore_verify()
        if self.wants('incremental'):
            self.incremental()
        if self.wants('wal'):
            self.wal()
        if self.wants('replay'):
            self.replay()

    # ---- What came of it ---------------------------------------------------------------------------------------------

    def value(self, section, name, what='seconds'):
        """The median over the runs of the first contender whose name begins so; nothing when there is none."""
        for (where, who), runs in self.runs.items():
            if where == section and who.startswith(name):
                return median(runs, what)
        return None

    def ratio(self, section, other, what='seconds'):
        ours, theirs = self.value(section, 'Lifeboat', what), self.value(section, other, what)
        return ours / theirs if ours is not None and theirs else None

    def budgets(self):
        """Rows of design's budgets: what, the budget, what was measured, whether it is kept."""
        one = f'incremental, {BUDGETED:.1%} of pages changed'
        loop, full = self.value('full', 'the bare'), self.value('full', 'Lifeboat')
        memory = self.value('full', 'Lifeboat', 'memory')
        verify = self.value('verify', 'Lifeboat')
        alone, streaming = self.value('wal', 'nothing', 'rate'), self.value('wal', 'lifeboat', 'rate')
        lags = [lag for run in self.runs.get(('wal', 'lifeboat stream'), []) for lag in run.lags]
        rows = [
            most('full backup: time, of pgBackRest\'s', 0.40, self.ratio('full', 'pgBackRest')),
            most('full backup: repository, of pgBackRest\'s', 1.1, self.ratio('full', 'pgBackRest', 'stored')),
            most('full backup: peak memory', 300, memory and memory / (1 << 20), ' MiB'),
            least('full backup: speed, of the bare loop\'s', 0.8, loop and full and loop / full),
            most('restore: time, of pgBackRest\'s', 0.40, self.ratio('restore', 'pgBackRest')),
            most('incremental after 1 % of pages changed: time, of pgBackRest\'s with block maps', 0.15, self.ratio(one, 'pgBackRest')),
            most('the same: bytes stored, of pgBackRest\'s', 0.5, self.ratio(one, 'pgBackRest', 'stored')),
            most('WAL: time until it is in the repository, p99 under full load', 1.0, percentile(lags, 0.99), ' s'),
            least('WAL: the primary\'s throughput, of that with nothing attached', 0.97, alone and streaming and streaming / alone),
            least('WAL feed: speed of replay, of that from a local directory', 0.95, self.replay_speed()),
            least('verify all data', 1.0, verify and self.bytes / verify / 1e9, ' GB/s'),
        ]
        return [('what', 'budget', 'measured', '')] + [row for row in rows if row]

    def replay_speed(self):
        fed, copied = self.value('replay', 'Lifeboat'), self.value('replay', 'cp')
        return fed and copied and copied / fed

    def details(self):
        """One table for each section: every contender, its median, the spread, and its ratio to ours."""
        for section in dict.fromkeys(section for section, _ in self.runs):
            if section == 'wal':
                yield section, [('attached', 'transactions/s', 'of none', 'lag p50', 'lag p99', 'lag max'), *self.wal_rows()]
                continue
            rows = [('program', 'median', 'fastest to slowest', 'Lifeboat takes', 'stored', 'peak memory')]
            for (where, name), runs in self.runs.items():
                if where == section:
                    rows.append(self.detail(section, name, runs))
            yield section, rows

    def detail(self, section, name, runs):
        times = sorted(run.seconds for run in runs)
        ratio = self.ratio(section, name)
        stored, memory = median(runs, 'stored'), median(runs, 'memory')
        return (name, screen.seconds(median(runs, 'seconds')), f'{times[0]:.1f} to {times[-1]:.1f} s', f'{ratio:.2f} of it' if ratio else '',
                screen.size(stored) if stored is not None else '', screen.size(memory) if memory else '')

    def wal_rows(self):
        alone = self.value('wal', 'nothing', 'rate')
        for (where, name), runs in self.runs.items():
            if where == 'wal':
                lags = [lag for run in runs for lag in run.lags or []]
                spread = [screen.seconds(percentile(lags, q)) if lags else '' for q in (0.5, 0.99, 1.0)]
                yield (name, f'{median(runs, "rate"):.0f}', f'{median(runs, "rate") / alone:.3f}', *spread)


def percentile(values, share):
    ordered = sorted(values or [])
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else None


def most(what, budget, measured, unit=''):
    return budget_row(what, f'≤ {budget:g}{unit}', measured, unit, measured is not None and measured <= budget)


def least(what, budget, measured, unit=''):
    return budget_row(what, f'≥ {budget:g}{unit}', measured, unit, measured is not None and measured >= budget)


def budget_row(what, budget, measured, unit, kept):
    if measured is None:
        return None
    return what, budget, f'{measured:.3g}{unit}', 'kept' if kept else 'MISSED'


def machine():
    """One line about where this was measured."""
    cpu = next((line.split(':')[1].strip() for line in pathlib.Path('/proc/cpuinfo').read_text().splitlines() if line.startswith('model name')), '?')
    memory = os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')
    return f'{os.cpu_count()} × {cpu}, {screen.size(memory)} of memory, Linux {".".join(platform.release().split(".")[:2])}'


def markdown(comparison):
    options = comparison.options
    lines = [f'Measured {time.strftime("%Y-%m-%d")} on {machine()}: a cluster of {screen.size(comparison.bytes)} (scale {options.scale}), '
             f'medians of {options.runs}.', '']

    def add(rows):
        head, *rest = rows
        lines.extend(['| ' + ' | '.join(head) + ' |', '|' + '---|' * len(head)])
        lines.extend('| ' + ' | '.join(row) + ' |' for row in rest)
        lines.append('')
    add(comparison.budgets())
    for section, rows in comparison.details():
        lines.extend([f'**{section}**', ''])
        add(rows)
    return '\n'.join(lines)


def show(comparison):
    for name, rows in [('budgets', comparison.budgets()), *comparison.details()]:
        if len(rows) > 1:
            screen.title(name)
            screen.table(rows)


def record(text):
    document = DOCUMENT.read_text()
    before, rest = document.split(BEGIN)
    DOCUMENT.write_text(before + BEGIN + '\n' + text + '\n' + END + rest.split(END)[1])


def read_options():
    parser = argparse.ArgumentParser(prog='bench/compare')
    parser.add_argument('--only', default=','.join(SECTIONS))
    parser.add_argument('--scale', type=int, default=100)
    parser.add_argument('--runs', type=int, default=3)
    parser.add_argument('--seconds', type=int, default=30)
    parser.add_argument('--record', action='store_true')
    parser.add_argument('--output', default='')
    for name in ('--binary', '--limit', '--newer'):
        parser.add_argument(name)
    options = parser.parse_args()
    options.only = options.only.split(',')
    unknown = set(options.only) - set(SECTIONS)
    if unknown:
        parser.error(f'--only takes {", ".join(SECTIONS)}; not {", ".join(sorted(unknown))}')
    return options


def compare(options):
    place = Place.make('lifeboat-bench')
    try:
        needed = options.scale * 200_000_000
        if shutil.disk_usage(place.root).free < needed:
            raise Failed(f'{place.root.parent} has less than {screen.size(needed)} free: set TMPDIR to a larger place')
        Lifeboat.install(place, options.binary)
        comparison = Comparison(place, options)
        comparison.run()
        text = markdown(comparison)
        show(comparison)
        if options.output:
            pathlib.Path(options.output).write_text(text)
        if options.record:
            record(text)
    finally:
        place.remove()


def main():
    options = read_options()
    ask_to_stop_on_signals()
    try:
        compare(options)
        return 0
    except Failed as failure:
        print(f'compare: {failure}', file=sys.stderr)
    except KeyboardInterrupt:
        print('\ncompare: stopped; nothing is left', file=sys.stderr)
    return 1


if __name__ == '__main__':
    sys.exit(main())
