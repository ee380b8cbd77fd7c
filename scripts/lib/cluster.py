"""A PostgreSQL cluster that lives in a Place: reached through a socket in a private directory only."""

import pathlib
import shutil
import signal
import subprocess

from machine import Failed, Process, children_of, end, free_port, wait_until


def bin_directory():
    """The programs of the newest PostgreSQL of this machine."""
    found = [path for path in pathlib.Path('/usr/lib/postgresql').glob('*/bin') if (path / 'initdb').exists()]
    if not found:
        raise Failed("there is no PostgreSQL server on this machine: install Debian's 'postgresql'")
    return max(found, key=lambda path: int(path.parent.name))


class Cluster:
    """Data below PLACE/NAME, the socket in PLACE/run, user 'postgres', database `database`."""

    def __init__(self, place, name, database, port=0):
        self.place = place
        self.data = place.root / name
        self.sockets = place.root / 'run'
        self.database = database
        self.port = port or free_port()
        self.bin = bin_directory()
        self.child = None

    @staticmethod
    def create(place, name, database, settings):
        cluster = Cluster(place, name, database)
        place.directory('run')
        place.run([cluster.bin / 'initdb', '--data-checksums', '--no-sync', '--locale=C.UTF-8', '--auth=trust',
                   '--username=postgres', '-D', cluster.data])
        settings = {'port': cluster.port, 'listen_addresses': '', 'unix_socket_directories': str(cluster.sockets), **settings}
        lines = [f"{key} = '{value}'\n" for key, value in settings.items()]
        with (cluster.data / 'postgresql.conf').open('a') as file:
            file.writelines(lines)
        cluster.start()
        cluster.sql(f'CREATE DATABASE {database}', 'postgres')
        return cluster

    @property
    def connection(self):
        return f'host={self.sockets} port={self.port} user=postgres dbname={self.database}'

    def start(self):
        with self.place.log(f'{self.data.name}.log') as log:
            self.child = self.place.spawn([self.bin / 'postgres', '-D', self.data], stdout=log, stderr=log)
        ready = [self.bin / 'pg_isready', '-q', '-h', self.sockets, '-p', self.port]

        def answers():
            if self.child.poll() is not None:
                raise Failed(f'the server ended at once:\n{self.place.tail(self.data.name + ".log")}')
            return self.place.spawn(ready).wait() == 0
        wait_until(answers, 60, 'the server did not answer')

    def stop(self):
        end(self.child, signal.SIGINT, 120)

    def kill(self):
        """As a machine that loses its power: every process of the server at once, none of them asked."""
        self.child.send_signal(signal.SIGSTOP)  # it starts no new ones while we look
        family = [*children_of(self.child.pid), Process.of(self.child.pid)]
        for process in family:
            process.send(signal.SIGKILL)
        self.child.wait()
        wait_until(lambda: not any(process.is_alive() for process in family), 30, 'the server did not die')

    def words(self, program, *arguments):
        """The command line of one of PostgreSQL's programs that connects to this server."""
        return [self.bin / program, '-h', self.sockets, '-p', self.port, '-U', 'postgres', *arguments]

    def client(self, program, *arguments, database=None):
        """The same, with the database behind."""
        return [*self.words(program, *arguments), database or self.database]

    def psql(self, *arguments):
        return self.client('psql', '-qAtX', '-v', 'ON_ERROR_STOP=1', *arguments)

    def sql(self, text, database=None):
        """What the statements answer, as psql prints it: columns apart by '|'."""
        command = self.client('psql', '-qAtX', '-v', 'ON_ERROR_STOP=1', '-f', '-', database=database)
        return self.place.run(command, text=text).strip()

    def size(self):
        """Bytes of the data directory without its WAL."""
        return sum(path.stat().st_size for path in self.data.rglob('*') if path.is_file() and 'pg_wal' not in path.parts)

    def disappear(self):
        shutil.rmtree(self.data)


class Recovered(Cluster):
    """A server that 'lifeboat restore --start' runs on `data`: its socket lies there, for its owner alone."""

    def __init__(self, place, data, database, port):
        super().__init__(place, data.name, database, port)
        self.sockets = data

    def accepts_writes(self):
        """Asked as any client would."""
        if not (self.data / 'postmaster.pid').exists():
            return False
        command = self.psql('-c', 'SELECT NOT pg_is_in_recovery()')
        return self.place.spawn(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).communicate()[0].strip() == b't'
