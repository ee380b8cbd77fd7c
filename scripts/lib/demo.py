"""The demo: a company's database, two disasters, and what they cost. See scripts/demo."""

import argparse
import dataclasses
import pathlib
import re
import shutil
import sys
import threading
import time

import company
import screen
from cluster import Cluster, Recovered
from lifeboat import Lifeboat
from machine import Failed, Place, ask_to_stop_on_signals, free_port

MARKER = '.lifeboat-demo'
SYSTEM = 'main'
KEY = 'keys/recovery-1.key'
HELD = ('prospects', 'invoices')  # what the mistake destroys
SPACE = 5 << 30


class Demo:
    def __init__(self, place, rows):
        self.place = place
        self.rows = rows
        self.state = place.root / 'host' / 'state'  # what Lifeboat keeps on the database's host
        self.lifeboat = Lifeboat(place, place.root / 'lifeboat.yaml')
        self.identity = place.root / KEY
        self.live = self.heartbeat = self.sales = self.visits = None
        self.measured = []  # rows of the last table
        self.proofs = []
        self.servers = []  # that recovered, for --keep
        self.failures = []

    # ---- Before ------------------------------------------------------------------------------------------------------

    def found_company(self):
        screen.title('A company and its database')
        for name in ('client', 'keys', 'host'):
            self.place.directory(name)
        settings = {'wal_level': 'replica', 'shared_buffers': '256MB', 'max_wal_size': '2GB', 'maintenance_work_mem': '256MB'}
        with screen.step('PostgreSQL, and the company moves in') as step:
            self.live = Cluster.create(self.place, 'live', 'company', settings)
            company.build(self.live, self.rows)
            step.said = f'{screen.size(self.live.size())}, {screen.count(sum(self.rows.values()))} rows'

    def protect(self):
        screen.title('Protected by Lifeboat')
        with screen.step('lifeboat init') as step:
            self.lifeboat.run('init', '--repository', f'file://{self.place.root}/repository', '--state', self.state, '--keys-directory',
                              self.identity.parent, '--site', 'demo', '--system', SYSTEM, '--connection',
                              f'host={self.live.sockets} port={self.live.port} user=postgres dbname=postgres')
            step.said = 'a repository, sealed to two recovery keys'
        with screen.step('lifeboat stream') as step:
            self.lifeboat.start_stream(SYSTEM, self.state)
            step.said = 'every change leaves the host within a second'

    def go_to_work(self):
        self.heartbeat = company.Heartbeat(self.place, self.live)
        self.visits = company.Load(self.place, self.live, 'visits', company.VISITS, 300, self.rows)
        self.sales = company.Load(self.place, self.live, 'sales', company.SALES, 200, self.rows)
        screen.say('People are at work: 500 transactions a second, and a client that notes each commit it is promised.')

    def back_up(self, *options):
        with screen.step(' '.join(['lifeboat backup', SYSTEM, *options])) as step:
            done = self.lifeboat.run('backup', SYSTEM, *options).result['systems'][0]
            changed = '' if done['kind'] == 'full' else f'{screen.size(done["bytes_changed"])} changed, '
            step.said = f'{done["kind"]}: {screen.size(done["bytes"])}, {changed}{screen.size(done["bytes_stored"])} stored'

    def work(self, seconds, what):
        with screen.step(what) as step:
            before = len(self.heartbeat.acknowledged)
            time.sleep(seconds)
            written = len(self.heartbeat.acknowledged) - before
            if written == 0:
                raise Failed(f'the client that notes commits has stopped:\n{self.place.tail("heartbeat.log")}')
            step.said = f'{screen.count(written)} noted commits'

    # ---- Disaster one: a statement -----------------------------------------------------------------------------------

    def forget_the_where(self):
        """The mistake. Returns its transaction, and what had been promised and was there before it."""
        screen.title('Disaster one: somebody forgets the WHERE')
        with screen.step('digests of what is there') as step:
            frozen = company.Frozen(self.place, self.live, HELD)
            before = frozen.digests()
            xid = int(frozen.ask('SELECT txid_current();\n'))
            step.said = 'in the transaction itself, just before'
        promised = list(self.heartbeat.acknowledged)
        screen.command('psql company -c "DELETE FROM prospects"')
        with screen.step('DELETE, and the foreign key takes the invoices') as step:
            frozen.ask("DELETE FROM prospects; COMMIT; SELECT 'gone';\n")
            frozen.close()
            step.said = f'{screen.count(sum(before[table][0] for table in HELD))} rows gone, committed as {xid}'
        self.work(4, 'nobody notices yet; work goes on')
        return xid, before, promised

    def recover_rows(self, xid, before, promised):
        began = time.monotonic()
        target = self.place.root / 'before-the-delete'
        screen.command(f'lifeboat restore {SYSTEM} --target {target.name} --before-xid {xid} --start --identity {KEY}')
        with screen.step('the cluster of that moment, beside the live one') as step:
            server, report, _ = self.restore(target, '--before-xid', str(xid))
            step.said = screen.size(report['applied']['bytes']) + ', replayed to the transaction before'
        with screen.step('the rows, back into the live database') as step:
            returned = company.bring_back(self.place, server, self.live, HELD)
            step.said = 'COPY from one to the other'
        took = time.monotonic() - began
        there = {table: company.digest(server, table) for table in HELD}
        lost = self.check_heartbeat(server, promised)
        for table in HELD:
            self.prove(f'{table}, before the DELETE', before[table], there[table])
            self.prove(f'{table}, back in the live database', before[table], returned[table])
        self.measured.append(('somebody forgets the WHERE', took, lost))

    # ---- Disaster two: a host ----------------------------------------------------------------------------------------

    def lose_the_host(self):
        """Everything on the host ends at once. Returns the digests from before, and the moment."""
        screen.title('Disaster two: the host is gone')
        with screen.step('digests of what is there') as step:
            last = self.newest_event()
            before = {'events': company.digest(self.live, 'events', last)}
            frozen = company.Frozen(self.place, self.live, HELD)
            before |= frozen.digests()
            step.said = f'and {screen.count(len(self.heartbeat.acknowledged))} noted commits'
        self.work(2, 'orders keep coming in')
        screen.command(f'kill -9 (PostgreSQL and lifeboat);  rm -rf {self.live.data.name} {self.state.parent.name}')
        with screen.step('server, capture, data, spool and host key') as step:
            moment = time.time()
            self.lifeboat.kill_stream()
            self.live.kill()
            self.live.disappear()
            shutil.rmtree(self.state.parent)
            step.said = 'all gone in the same instant'
        self.stop_work()
        frozen.close()
        return before, last, moment

    def newest_event(self):
        """An id up to which the events are complete: nobody is about to commit a lower one."""
        frozen = company.Frozen(self.place, self.live, ['events'])
        last = frozen.ask('SELECT max(id) FROM events;\n')
        frozen.close()
        return last

    def recover_host(self, before, last, moment):
        target = self.live.data
        screen.command(f'lifeboat restore {SYSTEM} --target {target.name} --start --check-pages --check-structure --identity {KEY}')
        with screen.step('from the repository and a recovery key alone') as step:
            server, _, opened = self.restore(target, '--check-pages', '--check-structure')
            took = opened - moment
            step.said = f'open after {screen.seconds(took)}; the rest is checking'
        with screen.step('is it whole?') as step:
            for table in (*HELD, 'events'):
                self.prove(f'{table}, on the new host', before[table], company.digest(server, table, last if table == 'events' else None))
            lost = self.check_heartbeat(server, self.heartbeat.acknowledged)
            step.said = 'every page checksum, every index, every digest'
        self.measured.append(('the host is gone', took, lost))

    # ---- Both --------------------------------------------------------------------------------------------------------

    def restore(self, target, *options):
        """The server that came up, Lifeboat's report, and when the server first took a client's writes."""
        server = Recovered(self.place, target, self.live.database, free_port())
        self.servers.append(server)
        opened = []
        done = threading.Event()

        def watch():  # from outside: Lifeboat's own word is not asked
            while not opened and not done.wait(0.05):
                if server.accepts_writes():
                    opened.append(time.time())
        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            report = self.lifeboat.run('restore', SYSTEM, '--target', target, '--identity', self.identity, '--start', '--port', str(server.port),
                                       *options).result
        finally:
            done.set()
            watcher.join()
        if report['started']['findings']:
            self.failures.extend(f'{target.name}: {finding}' for finding in report['started']['findings'])
        return server, report, opened[0] if opened else time.time()

    def check_heartbeat(self, server, promised):
        """Which of the commits that a client was promised are not there: seen from the client, not from the server."""
        rows, newest = map(int, server.sql('SELECT count(*), coalesce(max(id), 0) FROM heartbeat').split('|'))
        if rows != newest:
            self.failures.append(f'{newest - rows} of the noted commits are missing in the middle')
        lost = [moment for number, moment in promised if number > newest]
        kept = [moment for number, moment in promised if number <= newest]
        seconds = promised[-1][1] - (kept[-1] if kept else promised[0][1])
        return Loss(seconds, len(lost), len(promised))

    def prove(self, what, before, after):
        self.proofs.append((what, before, after))
        if before != after:
            self.failures.append(f'{what}: {before[0]} rows with digest {before[1]} became {after[0]} rows with {after[1]}')

    def stop_work(self):
        for worker in (self.heartbeat, self.sales, self.visits):
            if worker:
                worker.stop()

    # ---- What came of it ---------------------------------------------------------------------------------------------

    def show(self):
        objectives = read_objectives(self.lifeboat.config)
        screen.title('What was promised, and what is there')
        rows = [['', 'rows', 'digest before', 'digest after', '']]
        for what, before, after in self.proofs:
            same = screen.tint('good', '✓ the same') if before == after else screen.tint('bad', '✗ DIFFERENT')
            rows.append([what, screen.count(after[0]), before[1][:16], after[1][:16], same])
        screen.table(rows, right={1})
        screen.title('What the disasters cost')
        rows = [['', 'objective', 'measured', 'used']]
        for name, took, loss in self.measured:
            if len(rows) > 1:
                rows.append(None)
            rows.append([name, '', '', ''])
            rows.append(['  time to recover (RTO)', objectives['rto'], screen.seconds(took), self.used('rto', objectives, took)])
            rows.append(['  data lost (RPO)', objectives['rpo'], loss.text(), self.used('rpo', objectives, loss.seconds)])
        screen.table(rows, right={3})

    def used(self, name, objectives, seconds):
        allowed = int(objectives[name][:-1]) * {'s': 1, 'm': 60, 'h': 3600, 'd': 86400}[objectives[name][-1]]
        share = 100 * seconds / allowed
        if share > 100:
            self.failures.append(f'an objective was missed: {name} of {seconds:.0f} s')
        return screen.tint('good' if share <= 100 else 'bad', f'{share:.2g} % {"✓" if share <= 100 else "✗"}')

    def explain_what_is_left(self):
        config = self.lifeboat.config
        config.write_text(config.read_text().replace('  # identity: /root/recovery.key\n', f'  identity: {self.identity}\n'))
        screen.title('Left for you')
        screen.line(f'  cd {self.place.root}')
        for words in ('list', f"restore {SYSTEM} --target again --at '1 minute ago' --dry-run", 'verify --data', '--help'):
            screen.line(f'  bin/lifeboat {words}')
        for server in self.servers:
            screen.line(f'  psql "{server.connection}"   # {server.data.name}')
        screen.line(f'  scripts/demo --stop {self.place.root}   # ends the servers and removes the directory')


@dataclasses.dataclass
class Loss:
    """Commits that a client was promised and that are not there."""
    seconds: float  # between the newest that was promised and the newest that is there
    commits: int
    of: int

    def text(self):
        if self.commits == 0:
            return f'nothing: all {screen.count(self.of)} noted commits are there'
        return f'{screen.seconds(self.seconds)}: {screen.count(self.commits)} of {screen.count(self.of)} noted commits'


def read_objectives(config):
    """rto and rpo of the tier that 'lifeboat init' gave to the system, as they are written."""
    text = pathlib.Path(config).read_text()
    tier = text[text.index('critical:'):]
    return {name: re.search(rf'{name}: *(\d+[smhd])', tier)[1] for name in ('rto', 'rpo')}


def run(demo, keep):
    demo.found_company()
    demo.protect()
    demo.go_to_work()
    demo.back_up('--full')
    demo.work(5, 'work goes on')
    demo.back_up()
    demo.work(3, 'work goes on')
    demo.recover_rows(*demo.forget_the_where())
    demo.work(3, 'life goes on')
    demo.recover_host(*demo.lose_the_host())
    demo.show()
    if keep:
        demo.explain_what_is_left()


def stop(directory):
    """Ends what an earlier `--keep` left."""
    place = Place(pathlib.Path(directory).resolve())
    if not (place.root / MARKER).is_file():
        raise Failed(f'{place.root} is not a directory that scripts/demo --keep left')
    place.remove()
    screen.line(f'{place.root} and what ran in it are gone')


def play(arguments):
    place = Place.make('lifeboat-demo')
    keep = False
    try:
        if shutil.disk_usage(place.root).free < SPACE * max(1, arguments.scale):
            raise Failed(f'{place.root.parent} has less than {screen.size(SPACE)} free: set TMPDIR to a larger place')
        (place.root / MARKER).touch()
        Lifeboat.install(place, arguments.binary)
        demo = Demo(place, company.rows_of(arguments.scale))
        screen.line(screen.tint('bold', 'Lifeboat demo') + f': all of it in {place.root}, no other server or directory is touched')
        began = time.monotonic()
        try:
            run(demo, arguments.keep)
        finally:
            demo.stop_work()
        keep = arguments.keep
        screen.line()
        for failure in demo.failures:
            screen.line(screen.tint('bad', 'FAILED  ') + failure)
        if not demo.failures:
            end = '' if keep else ' Nothing of it is left; --keep leaves it to explore.'
            screen.line(screen.tint('good', 'Both recovered') + f' in {screen.seconds(time.monotonic() - began)} of demo.{end}')
        return 1 if demo.failures else 0
    except Failed:
        if arguments.keep:
            keep = True
            place.end_all()
            screen.line(f'{place.root} is left to look at; nothing runs in it')
        raise
    finally:
        if not keep:
            place.remove()


def main():
    parser = argparse.ArgumentParser(prog='scripts/demo')
    parser.add_argument('--keep', action='store_true')
    parser.add_argument('--stop', metavar='DIRECTORY')
    parser.add_argument('--scale', type=float, default=1.0)
    parser.add_argument('--binary')
    arguments = parser.parse_args()
    ask_to_stop_on_signals()
    try:
        if arguments.stop:
            stop(arguments.stop)
            return 0
        return play(arguments)
    except Failed as failure:
        sys.stdout.flush()
        print(f'demo: {failure}', file=sys.stderr)
        return 1
    except KeyboardInterrupt as signal:
        print(f'\ndemo: stopped ({signal or "interrupt"}); nothing is left', file=sys.stderr)
        return 130


if __name__ == '__main__':
    sys.exit(main())
