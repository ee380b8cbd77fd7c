#pragma once

#include <atomic>
#include <cstdint>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "base/stop.h"
#include "postgres/connection.h"
#include "tests/support/pg_cluster.h"

namespace lifeboat::test {

// Dice of one run: the same seed throws the same.
class Dice {
  public:
    explicit Dice(std::uint64_t seed) : engine_(seed) {}

    // 0 .. sides - 1
    int roll(int sides) { return static_cast<int>(engine_() % static_cast<std::uint64_t>(sides)); }

    bool one_in(int sides) { return roll(sides) == 0; }

    std::uint64_t seed() { return engine_(); }

  private:
    std::mt19937_64 engine_;
};

// A client that does what clients and their administrators do, in any order, until it is told to
// stop. What the server refuses it forgets, and it connects again when the server went away. Its
// tables, databases and transactions are named after its number, so that clients do not wait for
// each other.
class Client {
  public:
    Client(const postgres::PgCluster& cluster, int number, std::uint64_t seed);
    ~Client();
    Client(const Client&) = delete;
    Client& operator=(const Client&) = delete;

    void stop();  // returns when its last statement has ended

    std::uint64_t done() const { return done_; }

  private:
    void live();
    void act();
    void run(const std::string& sql);
    void run_in(const std::string& database, const std::string& sql);
    std::string table();
    std::string space();
    void make_table();
    void change_rows();
    void change_shape();
    void rewrite();
    void nest();
    void prepare();
    void settle_prepared();
    void make_database();
    void make_space();

    const postgres::PgCluster& cluster_;
    const std::string name_;
    Dice dice_;
    base::StopToken stop_;
    std::atomic<bool> stopping_ = false;
    std::atomic<std::uint64_t> done_ = 0;
    std::vector<postgres::Connection> session_;  // none or one
    int prepared_ = 0;
    int databases_ = 0;
    int spaces_ = 0;
    std::thread thread_;
};

}  // namespace lifeboat::test
