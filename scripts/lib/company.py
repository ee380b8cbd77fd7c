"""The demo's company: prospects, invoices and events that look like a small CRM's, people at work on them, and digests that prove them."""

import os
import shutil
import subprocess
import threading
import time

from machine import Failed, end

SCHEMA = '''
CREATE TABLE prospects (
    id bigserial PRIMARY KEY, name text NOT NULL, email text NOT NULL, company text, city text, stage text NOT NULL,
    value numeric(12,2), notes text, created timestamptz NOT NULL, updated timestamptz NOT NULL);
CREATE TABLE invoices (
    id bigserial PRIMARY KEY, prospect bigint NOT NULL REFERENCES prospects ON DELETE CASCADE, number text NOT NULL,
    issued date NOT NULL, paid boolean NOT NULL, total numeric(12,2) NOT NULL, lines jsonb NOT NULL);
CREATE TABLE events (
    id bigserial PRIMARY KEY, at timestamptz NOT NULL DEFAULT now(), kind text NOT NULL, prospect bigint NOT NULL, actor uuid NOT NULL,
    payload jsonb NOT NULL);
CREATE TABLE heartbeat (id bigint PRIMARY KEY, sent timestamptz NOT NULL DEFAULT clock_timestamp());
'''

# One expression for each word list: the row's own random numbers choose.
NAMES = "ARRAY['Ada','Bruno','Chiara','Deniz','Emil','Fatou','Greta','Hugo','Ines','Jonas','Kofi','Lena','Marek','Noor','Olga','Pablo']"
FAMILIES = "ARRAY['Almeida','Berger','Conti','Dubois','Eriksen','Fischer','García','Horváth','Ivanova','Jansen','Kaya','Lindqvist','Moreau','Novak']"
CITIES = "ARRAY['Berlin','Lisboa','Milano','Paris','Wien','Praha','Oslo','Kraków','Gent','Sevilla']"
FIRMS = "ARRAY['Nordwind','Casa Verde','Atelier 12','Blue Harbour','Kupferwerk','Lumen','Orchard','Quayside']"
STAGES = "ARRAY['lead','contacted','qualified','proposal','won','lost']"
PHRASES = ("ARRAY['asked for a second quote','prefers mail to calls','budget is decided in spring','met at the fair','wants references from the "
           "sector','waits for the works council','needs an export to the old system','contract ends in March','sends invoices back without an "
           "order number','moved to a new office']")


def pick(words, number):
    return f'({words})[1 + ({number})::int % array_length({words}, 1)]'


def rows_of(scale):
    return {'prospects': max(100, int(200_000 * scale)), 'invoices': max(200, int(400_000 * scale)), 'events': max(500, int(1_000_000 * scale))}


def fill(rows):
    """Statements that can run at the same time, one for each connection."""
    phrases = " || '; ' || ".join(pick(PHRASES, f'r * {prime}') for prime in (1009, 7919, 104729, 31337))
    person = pick(NAMES, 'r * 1e4'), pick(FAMILIES, 'r * 3e5')
    return [f'''
        INSERT INTO prospects (name, email, company, city, stage, value, notes, created, updated)
        SELECT {person[0]} || ' ' || {person[1]}, lower({person[0]}) || '.' || g || '@example.org', {pick(FIRMS, 'r * 5e4')} || ' ' || g % 9000,
               {pick(CITIES, 'r * 7e4')}, {pick(STAGES, 'r * 9e4')}, r * 90000, {phrases}, now() - r * interval '900 days', now()
        FROM (SELECT g, random() AS r FROM generate_series(1, {rows['prospects']}) g) s;
        INSERT INTO invoices (prospect, number, issued, paid, total, lines)
        SELECT 1 + (r * ({rows['prospects']} - 1))::bigint, 'R-' || 2020 + g % 6 || '-' || g, current_date - (r * 1500)::int, r < 0.8, r * 9000,
               jsonb_build_array(jsonb_build_object('text', {pick(PHRASES, 'r * 1009')}, 'amount', round((r * 4000)::numeric, 2), 'sku', md5(g::text)))
        FROM (SELECT g, random() AS r FROM generate_series(1, {rows['invoices']}) g) s;
        CREATE INDEX ON invoices (prospect);
        CREATE INDEX ON prospects (email);
    ''', f'''
        INSERT INTO events (at, kind, prospect, actor, payload)
        SELECT now() - r * interval '400 days', {pick("ARRAY['visit','mail','click','call','note','deal']", 'r * 6e4')},
               1 + (r * ({rows['prospects']} - 1))::bigint, gen_random_uuid(),
               jsonb_build_object('ip', '203.0.113.' || g % 256, 'agent', md5(r::text), 'page', '/offers/' || g % 1200, 'ms', (r * 900)::int)
        FROM (SELECT g, random() AS r FROM generate_series(1, {rows['events']}) g) s;
        CREATE INDEX ON events (prospect);
    ''']


def build(cluster, rows):
    cluster.sql(SCHEMA)
    failures = []

    def run(text):
        try:
            cluster.sql(text)
        except Failed as failure:
            failures.append(failure)
    threads = [threading.Thread(target=run, args=(text,)) for text in fill(rows)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    cluster.sql('VACUUM ANALYZE; CHECKPOINT;')


SALES = r'''
\set p random(1, {prospects})
\set i random(1, {invoices})
BEGIN;
UPDATE prospects SET stage = 'contacted', value = value + 1, updated = now() WHERE id = :p;
UPDATE invoices SET paid = NOT paid WHERE id = :i;
COMMIT;
'''
VISITS = r'''
\set p random(1, {prospects})
INSERT INTO events (kind, prospect, actor, payload)
VALUES ('visit', :p, gen_random_uuid(), jsonb_build_object('page', '/offers/' || :p, 'agent', md5(random()::text)));
'''


class Load:
    """People at work: a fixed number of transactions a second until it is ended or the server dies."""

    def __init__(self, place, cluster, name, script, rate, rows):
        path = place.root / 'client' / f'{name}.sql'
        path.write_text(script.format(**rows))
        path.chmod(0o644)
        with place.log(f'{name}.log') as log:
            self.child = place.spawn(cluster.client('pgbench', '-n', '-c', 2, '-R', rate, '-T', 100_000, '-f', path), stdout=log, stderr=log)

    def stop(self):
        end(self.child)


class Heartbeat:
    """A client that writes a row, waits until the server says that it is committed, and then writes down in a file of its own that it was.

    What it wrote down is what a customer was told. Its file, and not the server, decides what was lost.
    """

    def __init__(self, place, cluster, every=0.01):
        self.acknowledged = []  # (id, moment of the acknowledgement), and the same in the file
        self._every = every
        self._stopping = threading.Event()
        self._file = (place.root / 'client' / 'acknowledged').open('a', buffering=1)
        self._log = place.log('heartbeat.log')
        self._child = place.spawn(cluster.psql(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        number = 0
        while not self._stopping.wait(self._every):
            number += 1
            try:
                self._child.stdin.write(f'INSERT INTO heartbeat (id) VALUES ({number}) RETURNING id;\n'.encode())
                self._child.stdin.flush()
                answer = self._child.stdout.readline()
            except OSError:
                return
            if answer.strip() != str(number).encode():
                return  # the server is gone, and this one was never acknowledged
            moment = time.time()
            self.acknowledged.append((number, moment))
            self._file.write(f'{number} {moment:.6f}\n')

    def stop(self):
        if self._file.closed:
            return
        self._stopping.set()
        end(self._child)
        self._thread.join()
        os.fsync(self._file.fileno())
        self._file.close()
        self._log.close()
        for pipe in (self._child.stdin, self._child.stdout):
            try:
                pipe.close()
            except OSError:
                pass


def digest_sql(table, last=None):
    """One line: how many rows there are, and a digest of them all in the order of their keys."""
    where = f'WHERE id <= {last}' if last is not None else ''
    return f"SELECT count(*), coalesce(md5(string_agg(md5(t::text), '' ORDER BY id)), '') FROM (SELECT * FROM {table} {where}) t;\n"


def digest(cluster, table, last=None):
    """(rows, digest) of a table, or of its rows up to an id."""
    rows, value = cluster.sql("SET work_mem = '256MB';\n" + digest_sql(table, last)).split('|')
    return int(rows), value


class Frozen:
    """A transaction that holds tables still, so that a digest taken in it is true until the transaction ends, however it ends."""

    def __init__(self, place, cluster, tables):
        self._place = place
        self._tables = tables
        self._log = place.log('frozen.log')
        self._child = place.spawn(cluster.psql(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log)
        self.ask(f"SET work_mem = '256MB'; BEGIN; LOCK TABLE {', '.join(tables)} IN SHARE ROW EXCLUSIVE MODE; SELECT 'held';\n")

    def ask(self, statements):
        """Runs statements of which exactly the last one answers, with one line."""
        self._child.stdin.write(statements.encode())
        self._child.stdin.flush()
        answer = self._child.stdout.readline().decode().strip()
        if not answer:
            raise Failed(f'the transaction that should hold {", ".join(self._tables)} still ended early:\n{self._place.tail("frozen.log")}')
        return answer

    def digests(self):
        found = {}
        for table in self._tables:
            rows, value = self.ask(digest_sql(table)).split('|')
            found[table] = (int(rows), value)
        return found

    def close(self):
        self._child.stdin.close()
        self._child.wait(60)
        self._child.stdout.close()
        self._log.close()


def bring_back(place, source, target, tables):
    """Copies the rows of emptied tables out of one server into another, in one transaction. Returns the digests seen inside it."""
    log = place.log('bring-back.log')
    into = place.spawn(target.psql(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
    into.stdin.write(f"SET work_mem = '256MB'; BEGIN; LOCK TABLE {', '.join(tables)} IN SHARE ROW EXCLUSIVE MODE;\n".encode())
    for table in tables:
        into.stdin.write(f'COPY {table} FROM STDIN;\n'.encode())
        with place.spawn(source.psql('-c', f'COPY {table} TO STDOUT'), stdout=subprocess.PIPE, stderr=log) as out:
            shutil.copyfileobj(out.stdout, into.stdin, 1 << 20)
        into.stdin.write(b'\\.\n')
    into.stdin.write(''.join([*map(digest_sql, tables), 'COMMIT;\n']).encode())
    lines = into.communicate()[0].decode().split()
    log.close()
    if into.returncode != 0 or len(lines) != len(tables):
        raise Failed(f'the rows cannot be brought back:\n{place.tail("bring-back.log")}')
    return {table: (int(line.split('|')[0]), line.split('|')[1]) for table, line in zip(tables, lines)}
