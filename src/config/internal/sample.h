#pragma once

#include <string_view>

namespace lifeboat::config {

// Configurations for tests: one with as little as possible, and one in which no value is the
// default.

inline constexpr std::string_view kMinimal = R"(version: 1
site: {name: prod-eu}
repositories:
  - {name: local, url: file:///var/backups/lifeboat}
recipients:
  - age1q69nxqpjwmky24mahzxtkw7pr0rhydzjm46gr3sc80xrayd3l4vskc7f9u
  - age1mun35vsv269qvjcgvl5dy97ngejxcnpc4pmjulfn7pvctrjhlcrs2w4gyr
systems:
  main-db:
    engine: postgres
    connection: dbname=postgres
)";

inline constexpr std::string_view kFull = R"(version: 1
site: {name: prod-eu, zone: Europe/Berlin, state: state}
repositories:
  - {name: local, url: file:///var/backups/lifeboat, signers: ["ed25519:AAAA", ed25519:BB+/]}
  - name: offsite
    url: s3://bucket/prefix
recipients:
  - age1q69nxqpjwmky24mahzxtkw7pr0rhydzjm46gr3sc80xrayd3l4vskc7f9u
  - age1mun35vsv269qvjcgvl5dy97ngejxcnpc4pmjulfn7pvctrjhlcrs2w4gyr
keys: {host: /etc/lifeboat/host.key, identity: recovery-1.key}
tiers:
  critical: {rto: 1h, rpo: 5m}
  stateless: {rto: 15 minutes, rpo: 0}
systems:
  main-db:
    engine: postgres
    tier: critical
    connection: "host=/var/run/postgresql port=5432 user=postgres dbname=postgres"
    password: ${file:pg.pass}
    data_directory: /srv/pg
    backup: {retention: 10d, rolling_full: 2 weeks, workers: 4, compression: -3, schedule: "0 2 * * *"}
    stream:
      enabled: false
      slot: my_slot
      spool: /fast/spool
      spool_limit: 10GB
      interval: 1s
      acknowledge: spool
      retention: 14d
    restore:
      validate: ["SELECT count(*) FROM prospects", 'SELECT max(created_at) FROM prospects']
      owner: pg
      bin_directory: /opt/pg/bin
  other:
    engine: postgres
    connection: postgresql://backup@db.example/postgres?sslmode=require
    data_directory: none
    password: "${env:OTHER_PASSWORD}"
contacts: {dba: {name: "Zoë \"Z\"", phone: "+49 30 1", on: true, level: 3, ratio: 0.5, none: ~}}
alerts:
  - {name: disk, below: 10%}
  - [1, two, 'true']
)";

}  // namespace lifeboat::config
