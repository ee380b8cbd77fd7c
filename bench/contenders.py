"""The programs that are compared. Each gets a new repository for each full backup; making it is not timed."""

import json
import pathlib
import shutil

from ground import Run  # first: it finds scripts/lib

from lifeboat import Lifeboat, stored_bytes
from machine import Failed


def then_synced(words, target):
    """For programs that leave what they restored to the kernel: the others make it survive a power cut, within their time."""
    return ['sh', '-c', f'{" ".join(map(str, words))} && find {target} -type f -print0 | xargs -0 sync']


class Contender:
    """`stored` counts what a backup adds to its repository."""
    name = ''

    def __init__(self, ground, name):
        self.ground = ground
        self.place = ground.place
        self.home = self.place.root / name
        self.repository = self.home / 'repository'

    def prepare(self):
        """A new, empty repository."""
        shutil.rmtree(self.home, ignore_errors=True)
        self.place.directory(self.home.name)
        self.ground.archive_with('/bin/true')

    def repository_bytes(self):
        return stored_bytes(self.repository)

    def growing(self, arguments, environment=None):
        """Runs a backup and counts what it stored."""
        before = self.repository_bytes()
        run, text = self.ground.timed(arguments, environment)
        run.stored = self.repository_bytes() - before
        return run, text

    def clear(self):
        shutil.rmtree(self.home, ignore_errors=True)


class Ours(Contender):
    """Lifeboat: zstd 2, AES-256-GCM, two workers, its own WAL inside the backup."""
    name = 'Lifeboat'

    def __init__(self, ground, name='lifeboat'):
        super().__init__(ground, name)
        self.state = self.home / 'state'
        self.tool = Lifeboat(self.place, self.home / 'lifeboat.yaml')
        self.identity = self.home / 'keys' / 'recovery-1.key'

    def prepare(self):
        super().prepare()
        self.tool.run('init', '--repository', f'file://{self.repository}', '--state', self.state, '--keys-directory', self.identity.parent,
                      '--site', 'bench', '--system', 'main', '--connection', self.ground.connection)

    def _backup(self, *options):
        run, text = self.growing(self.tool.words('--json', 'backup', 'main', *options))
        done = json.loads(text[text.index('{'):])['result']['systems'][0]
        run.changed = done['bytes_changed']
        return run

    def full(self):
        return self._backup('--full')

    def incremental(self):
        return self._backup()

    def restore(self):
        run, _ = self.ground.timed(self.tool.words('--quiet', 'restore', 'main', '--target', self.ground.target(), '--immediate', '--identity',
                                                   self.identity))
        return run

    def verify(self):
        run, _ = self.ground.timed(self.tool.words('--quiet', 'verify', 'main', '--data', '--identity', self.identity))
        return run


class PgBackRest(Contender):
    """zst, AES-256-CBC, two processes, small files bundled, a fast checkpoint; its WAL goes to the same repository by archive_command."""

    def __init__(self, ground, name, program, settings=None):
        super().__init__(ground, name)
        self.program = program
        self.settings = settings or {}
        version = self.place.run([program, 'version']).split()[-1]
        self.name = f'pgBackRest {version}'

    def prepare(self):
        super().prepare()
        lines = {'repo1-path': self.repository, 'repo1-cipher-type': 'aes-256-cbc', 'repo1-cipher-pass': 'not-a-secret', 'compress-type': 'zst',
                 'process-max': 2, 'repo1-bundle': 'y', 'start-fast': 'y', 'log-level-console': 'warn', 'log-level-file': 'off',
                 'lock-path': self.home / 'lock', 'spool-path': self.home / 'spool', **self.settings}
        cluster = self.ground.cluster
        stanza = {'pg1-path': cluster.data, 'pg1-socket-path': cluster.sockets, 'pg1-port': cluster.port, 'pg1-user': 'postgres'}
        text = '[global]\n' + ''.join(f'{k}={v}\n' for k, v in lines.items()) + '[bench]\n' + ''.join(f'{k}={v}\n' for k, v in stanza.items())
        (self.home / 'pgbackrest.conf').write_text(text)
        self.place.run(self.words('stanza-create'))
        self.attach()

    def attach(self):
        """The server archives to this one from now on."""
        self.ground.archive_with(' '.join(map(str, self.words('archive-push', '%p'))))

    def words(self, *arguments):
        return [self.program, f'--config={self.home}/pgbackrest.conf', '--stanza=bench', *arguments]

    def repository_bytes(self):
        return stored_bytes(self.repository / 'backup')  # without the WAL archive: ours brings its own, which counts

    def full(self):
        run, _ = self.growing(self.words('backup', '--type=full'))
        return run

    def incremental(self):
        self.attach()
        run, _ = self.growing(self.words('backup', '--type=incr'))
        return run

    def restore(self):
        run, _ = self.ground.timed(self.words('restore', f'--pg1-path={self.ground.target()}', '--type=immediate'))
        return run

    def verify(self):
        run, _ = self.ground.timed(self.words('verify'))
        return run


class BaseBackup(Contender):
    """pg_basebackup into zstd 1 tar files with two workers: no encryption, no incremental backup, not verifiable."""
    name = 'pg_basebackup'

    def full(self):
        run, _ = self.growing(self.ground.cluster.words(
            'pg_basebackup', '-D', self.repository, '-Ft', '-X', 'fetch', '-c', 'fast', '--compress=client-zstd:level=1,workers=2'))
        return run

    def restore(self):
        target = self.ground.target()
        run, _ = self.ground.timed(then_synced(['tar', '-C', target, '--zstd', '-xf', self.repository / 'base.tar.zst'], target))
        return run


class Restic(Contender):
    """restic over the files as they lie there: what a general tool does with the same bytes. Such a copy of a working server is no backup."""
    name = 'restic'

    def _words(self, *arguments):
        return ['restic', '--repo', self.repository, '--cache-dir', self.home / 'cache', '--quiet', *arguments]

    environment = {'RESTIC_PASSWORD': 'not-a-secret'}

    def prepare(self):
        super().prepare()
        self.ground.timed(self._words('init', '--repository-version', '2'), self.environment)

    def full(self):
        data = self.ground.cluster.data
        run, _ = self.growing(self._words('backup', '--exclude', data / 'pg_wal', data), self.environment)
        return run

    incremental = full

    def restore(self):
        target = self.ground.target()
        run, _ = self.ground.timed(then_synced(self._words('restore', 'latest', '--target', target), target), self.environment)
        return run

    def verify(self):
        run, _ = self.ground.timed(self._words('check', '--read-data'), self.environment)
        return run


class BareLoop(Contender):
    """read, zstd 2, AES-256-GCM, write, sync: bench/limit.cc on the same files."""
    name = 'the bare loop'

    def __init__(self, ground, program):
        super().__init__(ground, 'loop')
        self.program = self.place.root / 'bin' / 'limit'
        self.program.write_bytes(pathlib.Path(program).read_bytes())
        self.program.chmod(0o755)

    def full(self):
        out = self.home / 'out'
        run, text = self.ground.timed([self.program, self.ground.cluster.data, out, '--skip', 'pg_wal'])
        answer = json.loads(text)
        return Run(seconds=run.seconds, stored=answer['written'], memory=run.memory)


def newer_pgbackrest(place, tree):
    """A wrapper that runs pgBackRest of another Debian tree on this machine; nothing when it is not there. It calls itself again for its workers."""
    tree = pathlib.Path(tree or '/nonexistent')
    loaders = sorted(tree.glob('lib*/ld-linux-*.so.*'))
    libraries = sorted(tree.glob('usr/lib/*-linux-gnu'))
    program = tree / 'usr' / 'bin' / 'pgbackrest'
    if not (loaders and libraries and program.exists()):
        return None
    wrapper = place.root / 'bin' / 'pgbackrest-newer'
    wrapper.write_text(f'#!/bin/sh\nexec {loaders[0]} --argv0 "$0" --library-path {libraries[0]} {program} "$@"\n')
    wrapper.chmod(0o755)
    try:
        place.run([wrapper, 'version'])
    except Failed:
        return None
    return wrapper
