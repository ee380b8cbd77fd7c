"""The lifeboat binary, driven as a person or a program would: by its command line, read through --json."""

import dataclasses
import json
import os
import pathlib
import signal
import subprocess

from machine import Failed, end, wait_until


@dataclasses.dataclass
class Answer:
    exit_code: int
    result: dict
    seconds: float = 0.0
    peak_memory: int = 0  # bytes


class Lifeboat:
    """One configuration, and the program that lies beside it: a copy, so that whatever runs it is known to be ours."""

    def __init__(self, place, config):
        self.place = place
        self.config = pathlib.Path(config)
        self.program = place.root / 'bin' / 'lifeboat'
        self.child = None

    @staticmethod
    def install(place, binary):
        target = place.directory('bin') / 'lifeboat'
        target.write_bytes(pathlib.Path(binary).read_bytes())
        target.chmod(0o755)

    def words(self, *arguments):
        return [self.program, '--config', self.config, *arguments]

    def run(self, *arguments, accept=(0,)):
        """Failed with the message and the hint when it ends otherwise than with one of `accept`."""
        child = self.place.spawn(self.words('--json', *arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        with child:
            text, noise = child.communicate()
        return self.answer(arguments, text, noise, child.returncode, accept)

    @staticmethod
    def answer(arguments, text, noise, code, accept):
        try:
            document = json.loads(text)
        except ValueError:
            raise Failed(f'lifeboat {arguments[0]} ended with {code}: {noise.decode().strip() or "no word"}') from None
        if code not in accept:
            error = document.get('error') or {'message': json.dumps(document.get('result'))[:2000]}
            hint = f'\nhint: {error["hint"]}' if error.get('hint') else ''
            raise Failed(f'lifeboat {arguments[0]}: {error["message"]}{hint}')
        return Answer(code, document.get('result') or {})

    def start_stream(self, system, state):
        """Starts the capture, and returns when it flows."""
        with self.place.log('stream.log') as log:
            self.child = self.place.spawn(self.words('stream', system), stdout=log, stderr=log)

        def flows():
            if self.child.poll() is not None:
                raise Failed(f'lifeboat stream ended at once:\n{self.place.tail("stream.log")}')
            return stream_state(state, system).get('phase') == 'streaming'
        wait_until(flows, 60, 'lifeboat stream did not begin to stream')

    def stop_stream(self):
        end(self.child, signal.SIGTERM)

    def kill_stream(self):
        end(self.child, signal.SIGKILL)


def stream_state(state, system):
    """What the stream says of itself; nothing before its first word."""
    try:
        return json.loads((pathlib.Path(state) / 'status' / f'{system}.json').read_text())
    except (OSError, ValueError):
        return {}


def stored_bytes(directory):
    """What a repository takes on its disk."""
    return sum(os.lstat(os.path.join(folder, name)).st_size for folder, _, names in os.walk(directory) for name in names)
