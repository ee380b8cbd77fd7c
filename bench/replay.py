"""How fast a restored server replays WAL: fed by Lifeboat from the repository, and by 'cp' from a directory that holds it in plain files."""

import re
import shutil
import signal
import time

from ground import Run  # first: it finds scripts/lib

from cluster import Recovered
from contenders import Ours
from machine import end, free_port, wait_until
from under_load import drive

REDO = re.compile(r'redo done at .* elapsed: ([\d.]+) s')  # the server's own clock: from the first record to the last


class History:
    """A backup, and the WAL of a busy time after it: in a repository by 'lifeboat stream', and in plain files by archive_command."""

    def __init__(self, ground, seconds):
        self.ground = ground
        self.ours = Ours(ground, 'lifeboat-replay')
        self.ours.prepare()
        self.plain = ground.place.directory('archive')
        ground.archive_with(f'cp %p {self.plain}/%f')
        self.ours.tool.start_stream('main', self.ours.state)
        self.ours.tool.run('backup', 'main', '--full')
        before = self._position()
        drive(ground, seconds)
        self._complete()
        self.bytes = self._position() - before

    def _position(self):
        return int(float(self.ground.cluster.sql("SELECT pg_current_wal_flush_lsn() - '0/0'")))

    def _complete(self):
        """All of it is in both places."""
        sql = self.ground.cluster.sql
        last = sql('SELECT pg_walfile_name(pg_current_wal_lsn())')
        sql('SELECT pg_switch_wal()')
        end_of_it = self._position()
        durable = "SELECT coalesce(max(flush_lsn) - '0/0', 0) FROM pg_stat_replication"
        wait_until(lambda: int(float(sql(durable))) >= end_of_it, 120, 'the stream did not catch up')
        wait_until(lambda: (self.plain / last).exists(), 120, 'the archive did not catch up')
        self.ours.tool.stop_stream()

    def _restore(self, target, *options):
        return self.ours.tool.run('restore', 'main', '--target', target, '--identity', self.ours.identity, *options).result

    def fed(self):
        target = self.ground.place.root / 'restored'
        report = self._restore(target, '--start', '--port', str(free_port()))
        took = redo_time(target / 'lifeboat.server.log')
        self._end(report['started']['pid'], target)
        return Run(seconds=took)

    def copied(self):
        target = self.ground.place.root / 'restored'
        self._restore(target)
        with (target / 'postgresql.auto.conf').open('a') as settings:
            settings.write(f"restore_command = 'cp {self.plain}/%f %p'\nlogging_collector = off\narchive_mode = off\n")
        server = Recovered(self.ground.place, target, self.ground.cluster.database, free_port())
        with self.ground.place.log('replay.log') as log:
            server.child = self.ground.place.spawn(
                [server.bin / 'postgres', '-D', target, '-c', f'port={server.port}', '-c', f'unix_socket_directories={target}'],
                stdout=log, stderr=log)
        wait_until(server.accepts_writes, 600, 'the server did not come up')
        took = redo_time(self.ground.place.root / 'log' / 'replay.log')
        end(server.child, signal.SIGQUIT)
        shutil.rmtree(target)
        return Run(seconds=took)

    def _end(self, pid, target):
        for process in self.ground.place.processes():
            if process.pid == pid:
                process.send(signal.SIGQUIT)
        wait_until(lambda: all(process.pid != pid for process in self.ground.place.processes()), 60, 'the server did not end')
        time.sleep(0.5)  # its feeder sees it, and ends too
        shutil.rmtree(target)

    def clear(self):
        self.ground.archive_with('/bin/true')
        sql = self.ground.cluster.sql
        sql("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name LIKE 'lifeboat%' AND NOT active", 'postgres')
        shutil.rmtree(self.plain)
        self.ours.clear()


class Fed:
    name = 'Lifeboat\'s feeder'


class Copied:
    name = 'cp from a local directory'


def redo_time(log):
    return float(REDO.findall(log.read_text(errors='replace'))[-1])
