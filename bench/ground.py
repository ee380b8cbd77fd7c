"""What all contenders stand on: one cluster, one way to time, the same state of the caches before each start."""

import dataclasses
import os
import pathlib
import shutil
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / 'scripts' / 'lib'))

from cluster import Cluster  # noqa: E402
from machine import Failed  # noqa: E402

ROWS_PER_SCALE = 25_000
PAGE = 8192
SETTINGS = {
    'wal_level': 'replica', 'archive_mode': 'on', 'archive_command': '/bin/true', 'max_wal_size': '4GB', 'shared_buffers': '512MB',
    'checkpoint_timeout': '30min', 'autovacuum': 'off', 'maintenance_work_mem': '512MB',
}
# Rows as an application writes them, beside pgbench's, which compress unusually well.
EVENTS = '''
CREATE TABLE events (id bigserial PRIMARY KEY, at timestamptz NOT NULL, kind text NOT NULL, actor uuid NOT NULL, payload jsonb NOT NULL);
INSERT INTO events (at, kind, actor, payload)
SELECT now() - random() * interval '120 days', (ARRAY['login', 'email', 'click', 'deal', 'note'])[1 + (random() * 4)::int], gen_random_uuid(),
       jsonb_build_object('ip', format('%s.%s.%s.7', (random() * 255)::int, (random() * 255)::int, (random() * 255)::int),
                          'agent', md5(random()::text), 'n', g, 'tags', ARRAY[md5((g % 1000)::text), md5((g % 77)::text)], 'score', random())
FROM generate_series(1, {rows}) g;
CREATE INDEX ON events (actor);
CREATE INDEX ON events (kind, at);
VACUUM ANALYZE;
CHECKPOINT;
'''


@dataclasses.dataclass
class Run:
    """One measurement. What was not measured is None."""
    seconds: float | None = None
    stored: int | None = None  # bytes that the repository grew by
    memory: int | None = None  # bytes, of the largest process
    changed: int | None = None  # bytes of changed pages, as the tool says
    rate: float | None = None  # transactions a second
    lags: list | None = None  # seconds


def median(runs, what):
    values = [getattr(run, what) for run in runs if getattr(run, what) is not None]
    return statistics.median(values) if values else None


class Ground:
    def __init__(self, place, scale):
        self.place = place
        self.cluster = Cluster.create(place, 'data', 'bench', SETTINGS)
        place.run(self.cluster.client('pgbench', '-i', '-q', '-F', 90, '-s', scale))
        self.cluster.sql(EVENTS.format(rows=scale * ROWS_PER_SCALE))
        self._round = 0

    @property
    def connection(self):
        return f'host={self.cluster.sockets} port={self.cluster.port} user=postgres dbname=postgres'

    def settle(self, *more):
        """Every page of the data, and of the directories `more`, in memory, and nothing waiting to be written: the same state for everybody."""
        shutil.rmtree(self.place.root / 'restored', ignore_errors=True)
        self.cluster.sql('CHECKPOINT;')
        for path in (path for directory in (self.cluster.data, *more) for path in directory.rglob('*')):
            if path.is_file() and 'pg_wal' not in path.parts:
                with path.open('rb', buffering=0) as file:
                    while file.read(1 << 20):
                        pass
        os.sync()

    def archive_with(self, command):
        self.cluster.sql(f"ALTER SYSTEM SET archive_command = $cmd${command}$cmd$; SELECT pg_reload_conf();")
        time.sleep(0.5)  # the archiver reads it when it wakes

    def change_pages(self, share):
        """Changes one row in each of `share` of all pages of the cluster, in place; a page has room for it."""
        self._round += 1
        pages = int(self.cluster.size() / PAGE * share)
        there = int(self.cluster.sql("SELECT relpages FROM pg_class WHERE relname = 'pgbench_accounts'"))
        if pages > there:
            raise Failed(f'{share:.0%} of the cluster are more pages than its largest table has')
        self.cluster.sql(f'''
            UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE ctid = ANY (ARRAY(
                SELECT format('(%s,{self._round})', page)::tid FROM generate_series(0, {there - 2}) page ORDER BY random() LIMIT {pages}));
            CHECKPOINT;''')

    def timed(self, arguments, environment=None, accept=(0,)):
        """Runs a program to its end. (Run with its time and memory, its output.)"""
        out = self.place.root / 'log' / 'timed'
        with out.open('wb') as stream:
            began = time.monotonic()
            child = self.place.spawn(arguments, stdout=stream, stderr=stream, extra=environment)
            _, status, usage = os.wait4(child.pid, 0)
            took = time.monotonic() - began
        child.returncode = os.waitstatus_to_exitcode(status)
        text = out.read_text(errors='replace')
        if child.returncode not in accept:
            raise Failed(f'{" ".join(map(str, arguments))[:200]}\nended with {child.returncode}: {text.strip()[-1500:]}')
        return Run(seconds=took, memory=usage.ru_maxrss * 1024), text

    def target(self):
        """A new directory to restore into."""
        return self.place.directory('restored')
