"""Programs on this machine: run as a user that is not root, found again and ended by their id, never by name."""

import contextlib
import dataclasses
import os
import pathlib
import pwd
import random
import shutil
import signal
import socket
import subprocess
import time


LONGEST_PARENT = 50  # a socket's whole path has at most 107 bytes


class Failed(Exception):
    """Something did not work; the text is for the person."""


@dataclasses.dataclass(frozen=True)
class Process:
    """One process, for good: a pid is used again, but not together with the moment of its birth."""
    pid: int
    born: int

    @staticmethod
    def of(pid):
        born = _birth(pid)
        return Process(pid, born) if born is not None else None

    def is_alive(self):
        return _birth(self.pid) == self.born

    def send(self, number):
        if self.is_alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


def _birth(pid):
    """Ticks between the machine's start and the process's; nothing when it has ended, or only waits for its parent to notice."""
    try:
        fields = pathlib.Path(f'/proc/{pid}/stat').read_text().rsplit(')', 1)[1].split()
    except OSError:
        return None
    return None if fields[0] in 'ZX' else int(fields[19])


def children_of(pid):
    found = []
    for entry in pathlib.Path('/proc').glob('[0-9]*/stat'):
        with contextlib.suppress(OSError, IndexError):
            if int(entry.read_text().rsplit(')', 1)[1].split()[1]) == pid:
                found.append(Process.of(int(entry.parent.name)))
    return [child for child in found if child]


def wait_until(condition, seconds, what, every=0.02):
    """The first true answer of `condition`; Failed with `what` when none comes in time."""
    until = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > until:
            raise Failed(f'{what} within {seconds} s')
        time.sleep(every)


class Place:
    """A directory that was made for one run, and all that runs in it: as 'postgres' when we are root, otherwise as ourselves."""

    def __init__(self, root):
        self.root = pathlib.Path(root)
        self.user = pwd.getpwnam('postgres') if os.getuid() == 0 else pwd.getpwuid(os.getuid())

    @staticmethod
    def make(prefix):
        """A new directory below $TMPDIR or /var/tmp, which only its owner can enter."""
        parent = pathlib.Path(os.environ.get('TMPDIR') or '/var/tmp').resolve()
        if len(str(parent)) > LONGEST_PARENT:
            raise Failed(f'{parent} is too long a path for a server\'s socket: set TMPDIR to a shorter one')
        for _ in range(100):
            place = Place(parent / f'{prefix}-{random.randbytes(3).hex()}')
            with contextlib.suppress(FileExistsError):
                place.root.mkdir(mode=0o700)
                place.give(place.root)
                return place
        raise Failed(f'no directory can be made below {parent}')

    def give(self, path):
        if os.getuid() == 0:
            os.chown(path, self.user.pw_uid, self.user.pw_gid)

    def directory(self, name):
        path = self.root / name
        path.mkdir(mode=0o700, parents=True)
        self.give(path)
        return path

    def environment(self):
        """Nothing of the person's own: no PGHOST, no LIFEBOAT_CONFIG can lead elsewhere."""
        return {'PATH': '/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin', 'HOME': str(self.root), 'LANG': 'C.UTF-8', 'PGTZ': 'UTC'}

    def _options(self):
        options = {'cwd': self.root, 'env': self.environment(), 'start_new_session': True}
        if os.getuid() == 0:
            options |= {'user': self.user.pw_uid, 'group': self.user.pw_gid, 'extra_groups': []}
        return options

    def spawn(self, arguments, extra=None, **streams):
        """Starts a program; `extra` is added to its environment."""
        options = self._options()
        options['env'] |= extra or {}
        return subprocess.Popen([str(a) for a in arguments], **{'stdin': subprocess.DEVNULL, **options, **streams})

    def log(self, name):
        """A file for the output of something that runs long."""
        path = self.root / 'log' / name
        path.parent.mkdir(mode=0o755, exist_ok=True)
        return path.open('ab')

    def tail(self, name):
        """The last words of such a log."""
        path = self.root / 'log' / name
        return '\n'.join(path.read_text(errors='replace').strip().splitlines()[-6:]) if path.exists() else ''

    def run(self, arguments, text=None, accept=(0,)):
        """The program's output. Failed with its last words when it ends otherwise than with one of `accept`."""
        arguments = [str(a) for a in arguments]
        done = subprocess.run(arguments, input=text, stdin=subprocess.DEVNULL if text is None else None,
                              capture_output=True, text=True, check=False, **self._options())
        if done.returncode not in accept:
            words = '\n'.join((done.stderr.strip() or done.stdout.strip()).splitlines()[-8:])
            raise Failed(f'{" ".join(arguments)[:300]}\nended with {done.returncode}: {words}')
        return done.stdout

    def processes(self):
        """All that runs from here: programs that lie in this directory, and servers whose data do."""
        inside = f'{self.root}/'
        for entry in pathlib.Path('/proc').glob('[0-9]*'):
            with contextlib.suppress(OSError):
                program = os.readlink(entry / 'exe')
                server = os.path.basename(program).startswith('postgres') and os.readlink(entry / 'cwd').startswith(inside)
                if program.startswith(inside) or server:
                    process = Process.of(int(entry.name))
                    if process:
                        yield process

    def end_all(self):
        """Ends them. Servers drop everything at once: nothing here is kept."""
        for number, seconds in ((signal.SIGQUIT, 10), (signal.SIGKILL, 10)):
            until = time.monotonic() + seconds
            while list(self.processes()) and time.monotonic() < until:
                for process in self.processes():
                    process.send(number)
                time.sleep(0.1)
        left = [process.pid for process in self.processes()]
        if left:
            raise Failed(f'processes {left} do not end')

    def remove(self):
        self.end_all()
        shutil.rmtree(self.root, ignore_errors=True)
        if self.root.exists():
            raise Failed(f'{self.root} cannot be removed')


def free_port():
    """A port that nobody listens on, below those that the kernel hands out to clients."""
    while True:
        port = random.randint(20000, 32000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(('127.0.0.1', port))
            return port


def end(child, number=signal.SIGTERM, seconds=30):
    """Ends a child that we started, and waits for it."""
    if child.poll() is None:
        child.send_signal(number)
        try:
            child.wait(seconds)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
    return child.returncode


def ask_to_stop_on_signals():
    """A signal becomes an exception, so that what is to be cleaned up is."""
    numbers = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)

    def stop(number, _):
        for other in numbers:
            signal.signal(other, signal.SIG_IGN)  # a second one must not end the cleaning up
        raise KeyboardInterrupt(signal.Signals(number).name)
    for number in numbers:
        signal.signal(number, stop)
