"""What continuous capture costs the primary, and how far behind it is: pgbench at full load with nothing attached, and with each way to capture."""

import re
import signal
import subprocess
import threading
import time

from ground import Run  # first: it finds scripts/lib

from contenders import Ours, PgBackRest
from machine import end

CLIENTS = 8
SAMPLE = 0.02  # seconds between two looks: what a lag is rounded up to


class Nothing:
    name = 'nothing attached'

    def attach(self):
        pass

    def detach(self):
        pass


class Streaming:
    """lifeboat stream, which acknowledges what is durable in the repository."""
    name = 'lifeboat stream'
    measures_lag = True

    def __init__(self, ground):
        self.ours = Ours(ground, 'lifeboat-stream')

    def attach(self):
        self.ours.prepare()
        self.ours.tool.run('backup', 'main')  # what a stream continues
        self.ours.tool.start_stream('main', self.ours.state)

    def detach(self):
        self.ours.tool.stop_stream()
        cluster = self.ours.ground.cluster
        cluster.sql("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name LIKE 'lifeboat%' AND NOT active", 'postgres')
        self.ours.clear()


class Receiving:
    """pg_receivewal: plain files, synced, neither compressed nor encrypted, on this host."""
    name = 'pg_receivewal'
    measures_lag = True

    def __init__(self, ground):
        self.ground = ground
        self.child = None

    def attach(self):
        directory = self.ground.place.directory('received')
        with self.ground.place.log('receivewal.log') as log:
            self.child = self.ground.place.spawn(
                self.ground.cluster.words('pg_receivewal', '-D', directory, '--synchronous'), stdout=log, stderr=log)
        time.sleep(1)

    def detach(self):
        end(self.child, signal.SIGINT)
        for path in (self.ground.place.root / 'received').iterdir():
            path.unlink()
        (self.ground.place.root / 'received').rmdir()


class Archiving:
    """pgBackRest's archive-push of each finished segment, compressed and encrypted. What it loses is up to a segment, or archive_timeout."""

    def __init__(self, ground, program):
        self.tool = PgBackRest(ground, 'pgbackrest-archive', program)
        self.name = f'{self.tool.name} archive-push'

    def attach(self):
        self.tool.prepare()

    def detach(self):
        self.tool.ground.archive_with('/bin/true')
        self.tool.clear()


class LagSampler:
    """Looks at the server's own positions: what it has flushed, and what the receiver says is durable where it keeps it."""
    QUESTION = ("SELECT extract(epoch FROM clock_timestamp()), pg_current_wal_flush_lsn() - '0/0', coalesce(max(flush_lsn) - '0/0', 0) "
                'FROM pg_stat_replication;\n')

    def __init__(self, ground):
        self.samples = []  # (moment, flushed here, durable there)
        self._stopping = threading.Event()
        self._child = ground.place.spawn(ground.cluster.psql(), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _look(self):
        self._child.stdin.write(self.QUESTION.encode())
        self._child.stdin.flush()
        moment, here, there = self._child.stdout.readline().decode().split('|')
        self.samples.append((float(moment), int(float(here)), int(float(there))))

    def _run(self):
        while not self._stopping.wait(SAMPLE):
            self._look()

    def lags(self):
        """For each look: how long until all that was flushed then was durable there. Looks whose answer did not come are as old as the last."""
        self._stopping.set()
        self._thread.join()
        self._child.stdin.close()
        self._child.wait(30)
        found, later = [], 0
        for moment, here, _ in self.samples:
            while later < len(self.samples) and self.samples[later][2] < here:
                later += 1
            until = self.samples[min(later, len(self.samples) - 1)][0]
            found.append(max(0.0, until - moment))
        return found


def drive(ground, seconds):
    """Transactions a second of pgbench at full load."""
    text = ground.place.run(ground.cluster.client('pgbench', '-n', '-M', 'prepared', '-c', CLIENTS, '-j', 2, '-T', seconds))
    return float(re.search(r'tps = ([\d.]+)', text)[1])


def measure(ground, mode, seconds):
    mode.attach()
    try:
        ground.settle()
        sampler = LagSampler(ground) if getattr(mode, 'measures_lag', False) else None
        rate = drive(ground, seconds)
        lags = None
        if sampler:
            time.sleep(1)  # the last ones arrive
            lags = sampler.lags()
        return Run(rate=rate, lags=lags)
    finally:
        mode.detach()


def modes(ground, program):
    return [Nothing(), Streaming(ground), Receiving(ground), Archiving(ground, program)]
