#include "postgres/server_error.h"

#include <gtest/gtest.h>

namespace lifeboat::postgres {
namespace {

const base::Secret kPassword("sesame");

TEST(ServerError, TheStateDecidesWhatTheCallerCanDo) {
    const std::pair<const char*, Code> table[] = {
        {"28P01", Code::Denied},      {"28000", Code::Denied},       {"42501", Code::Denied},
        {"57P03", Code::Unavailable}, {"57P01", Code::Unavailable},  {"53300", Code::Unavailable},
        {"53100", Code::NoSpace},     {"53400", Code::Refused},      {"57014", Code::Cancelled},
        {"58P01", Code::NotFound},    {"42704", Code::NotFound},     {"3D000", Code::NotFound},
        {"42710", Code::Conflict},    {"55006", Code::Conflict},     {"55000", Code::Conflict},
        {"0A000", Code::Unsupported}, {"42883", Code::Unsupported},  {"XX001", Code::Corrupt},
        {"XX000", Code::Unavailable}, {"42601", Code::InvalidInput}, {"22023", Code::InvalidInput},
        {"08006", Code::Unavailable}, {"40001", Code::Unavailable},  {"", Code::Unavailable},
    };
    for (const auto& [state, code] : table) {
        EXPECT_EQ(code_for_sqlstate(state), code) << state;
    }
}

TEST(ServerError, KeepsTheServersWordsStateAndHintOnOneLine) {
    const Error error =
        server_failure({"42710", "slot \"a\"\nalready exists.", "It was\tmade.", "Drop it."});
    EXPECT_EQ(error.what(), "server: slot \"a\" already exists: It was made (SQLSTATE 42710)");
    EXPECT_EQ(error.hint(), "Drop it.");
    EXPECT_EQ(sqlstate_of(error.message()), "42710");
}

TEST(ConnectFailure, RefusedConnectionIsUnavailableWithAHint) {
    const Error error = connect_failure(
        "connection to server at \"127.0.0.1\", port 1 failed: Connection refused\n"
        "\tIs the server running on that host and accepting TCP/IP connections?\n",
        kPassword);
    EXPECT_EQ(error.code(), Code::Unavailable);
    EXPECT_EQ(error.what(),
              "connection to server at \"127.0.0.1\", port 1 failed: Connection refused");
    EXPECT_NE(error.hint(), "");
}

TEST(ConnectFailure, WrongPasswordIsDeniedAndNamesTheSetting) {
    const Error error = connect_failure(
        "connection to server at \"::1\", port 5432 failed: FATAL:  28P01: password authentication "
        "failed for user \"x\"\n"
        "LOCATION:  auth_failed, auth.c:335\n",
        kPassword);
    EXPECT_EQ(error.code(), Code::Denied);
    EXPECT_EQ(error.what(),
              "connection to server at \"::1\", port 5432 failed: FATAL: password authentication "
              "failed for user \"x\" (SQLSTATE 28P01)");
    EXPECT_NE(error.hint().find("'password'"), std::string::npos);
}

TEST(ConnectFailure, TheHintIsAboutWhatTheServerSaid) {
    const std::pair<const char*, const char*> table[] = {
        {"FATAL:  3D000: database \"nodb\" does not exist", "'dbname'"},
        {"FATAL:  42501: must be superuser or replication role to start walsender",
         "ALTER ROLE ... REPLICATION"},
        {"FATAL:  53300: too many connections for role \"x\"", "CONNECTION LIMIT"},
        {"FATAL:  57P03: the database system is starting up", "try again"},
        {"FATAL:  28000: no pg_hba.conf entry for replication connection", "pg_hba.conf"},
    };
    for (const auto& [text, hint] : table) {
        const Error error =
            connect_failure("connection to server failed: " + std::string(text), kPassword);
        EXPECT_NE(error.hint().find(hint), std::string::npos) << error.hint();
    }
}

TEST(ConnectFailure, OfSeveralAttemptsTheLastStateCounts) {
    const Error error = connect_failure(
        "connection to server failed: FATAL:  57P03: the database system is starting up\n"
        "connection to server failed: FATAL:  28000: no pg_hba.conf entry for host \"10.0.0.1\"\n",
        kPassword);
    EXPECT_EQ(error.code(), Code::Denied);
    EXPECT_EQ(sqlstate_of(error.message()), "28000");
}

TEST(ConnectFailure, WithoutAStateTheWordsDecide) {
    const std::pair<const char*, Code> table[] = {
        {"fe_sendauth: no password supplied", Code::Denied},
        {"server does not support SSL, but SSL was required", Code::Denied},
        {"could not translate host name \"db9\" to address: Name or service not known",
         Code::Unavailable},
    };
    for (const auto& [text, code] : table) {
        EXPECT_EQ(connect_failure(text, kPassword).code(), code) << text;
    }
}

TEST(ConnectFailure, WhatSpeaksSomethingElseIsNoServerThatDenies) {
    for (const char* text :
         {"connection to server at \"127.0.0.1\", port 80 failed: received invalid response to SSL "
          "negotiation: H",
          "received invalid response to GSSAPI negotiation: H",
          "expected authentication request from server, but received H"}) {
        const Error error = connect_failure(text, kPassword);
        EXPECT_EQ(error.code(), Code::Unavailable) << text;
        EXPECT_EQ(error.hint().find("Something else answers there"), 0U) << error.hint();
    }
}

// No server can be waited for behind it.
TEST(ConnectFailure, APortThatIsNoneIsInvalidInput) {
    const Error error = connect_failure("invalid port number: \"99999999\"\n", kPassword);
    EXPECT_EQ(error.code(), Code::InvalidInput);
    EXPECT_NE(error.hint().find("'port'"), std::string::npos) << error.hint();
}

TEST(ConnectFailure, P10_NeverHoldsThePassword) {
    const Error error = connect_failure("sesame, open: sesamesesame", kPassword);
    EXPECT_EQ(error.message(), "***, open: ******");
    EXPECT_EQ(connect_failure("nothing to hide", base::Secret()).message(), "nothing to hide");
}

TEST(SqlstateOf, IsEmptyForOtherTexts) {
    EXPECT_EQ(sqlstate_of("nothing"), "");
    EXPECT_EQ(sqlstate_of("(SQLSTATE x"), "");
    EXPECT_EQ(sqlstate_of("(SQLSTATE abcde)"), "");
}

}  // namespace
}  // namespace lifeboat::postgres
