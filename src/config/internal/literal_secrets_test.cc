#include "config/internal/literal_secrets.h"

#include <gtest/gtest.h>

#include "config/config.h"
#include "config/internal/sample.h"

namespace lifeboat::config {
namespace {

using base::Code;

base::Error failure(const std::string& text) {
    auto got = parse_config(text, "lifeboat.yaml");
    EXPECT_FALSE(got.has_value()) << text;
    return got.has_value() ? base::Error(Code::Bug, "accepted") : std::move(got).error();
}

// Refused, and neither the message nor the hint holds the secret, which is always "hunter2" or
// "QQQQ".
void expect_refused(const std::string& lines) {
    const base::Error error = failure(std::string(kMinimal) + lines);
    EXPECT_EQ(error.code(), Code::Refused) << lines << error.message();
    EXPECT_EQ((error.message() + error.hint()).find("hunter2"), std::string::npos)
        << error.message();
    EXPECT_EQ((error.message() + error.hint()).find("QQQQ"), std::string::npos) << error.message();
}

void expect_accepted(const std::string& lines) {
    const auto got = parse_config(std::string(kMinimal) + lines, "lifeboat.yaml");
    EXPECT_TRUE(got.has_value()) << lines << got.error().message();
}

std::string connection(const std::string& text) {
    return "  other:\n    engine: postgres\n    connection: " + base::Json(text).dump() + "\n";
}

TEST(LiteralSecrets, P10_AreRefusedUnderEveryTellingKey) {
    expect_refused("    password: hunter2\n");
    expect_refused("    password: $hunter2\n");
    expect_refused("    password: '${env:X} hunter2'\n");
    expect_refused("channels: {mail: {password: hunter2}}\n");
    expect_refused("channels: [{smtp_password: hunter2}]\n");
    expect_refused("channels: {slack: {Token: hunter2}}\n");
    expect_refused("channels: {a: {b: {c: {webhook-secret: hunter2}}}}\n");
    expect_refused("channels: {pager: {api_key: hunter2}}\n");
    expect_accepted(
        "channels: {mail: {password: \"${env:X}\", token: \"${file:/x}\", secret: ~}}\n");
    expect_accepted("channels: {tokenizer: x, secretary: bob}\n");
}

TEST(LiteralSecrets, TheHintShowsTheReference) {
    const base::Error error = failure(std::string(kMinimal) + "    password: hunter2\n");
    EXPECT_EQ(error.message(),
              "lifeboat.yaml:12:15: 'password' is written out: a configuration holds no secrets");
    EXPECT_EQ(error.hint(),
              "Put it into a file that only its owner can read and write ${file:/path/to/file}, or "
              "write ${env:NAME}.");
}

TEST(LiteralSecrets, OneRefusalMakesTheWholeFileRefused) {
    const base::Error error =
        failure(std::string(kMinimal) + "    password: hunter2\n    oops: 1\n");
    EXPECT_EQ(error.code(), Code::Refused);
    EXPECT_NE(error.message().find("unknown key 'oops'"), std::string::npos);
}

TEST(LiteralSecrets, APrivateKeyIsRefusedAnywhere) {
    const std::string key = "AGE-SECRET-KEY-1QQQQQQQQQQQQ";
    expect_refused("# " + key + "\n");
    expect_refused("contacts: {a: " + key + "}\n");
    expect_refused("keys: {identity: " + key + "}\n");
    expect_refused("keys: {identity: age-secret-key-1qqQQQQ}\n");
    const base::Error error = failure(std::string(kMinimal) + "# " + key);
    EXPECT_EQ(error.message(),
              "lifeboat.yaml:12:3: a private key is written out: whoever reads this file could "
              "read every backup");
    expect_accepted("# an identity file holds lines that begin with AGE-SECRET-KEY-1...\n");
}

TEST(LiteralSecrets, NoMessageQuotesAPrivateKey) {
    Problems problems("f");
    problems.add({}, "'AGE-SECRET-KEY-1QQQQ' and 'age-secret-key-1QQQQ' are not names");
    EXPECT_EQ(std::move(problems).error().message(), "f:1:1: '***' and '***' are not names");
}

TEST(LiteralSecrets, AConnectionHoldsNoPassword) {
    for (const char* text :
         {"password=hunter2", "host=a password=hunter2 user=b", "host=a password = hunter2",
          "password='hunter2 x'", "sslpassword=hunter2", "PASSWORD=hunter2",
          "host='a b' password=hunter2", "host=a\\ b password=hunter2",
          "host='a\\' b' password=hunter2", "host='unclosed password=hunter2", "host=a password",
          "postgresql://bob:hunter2@db/x", "postgres://bob:hunter2@db",
          "postgresql://db/x?password=hunter2",
          "postgresql://db/x?sslmode=require&sslpassword=hunter2", "postgresql://:hunter2@db"}) {
        expect_refused(connection(text));
    }
}

TEST(LiteralSecrets, AConnectionWithoutPasswordIsFine) {
    for (const char* text : {"dbname=postgres", "host=/run/postgresql port=5432 user=postgres",
                             "host = 'a b' user=password", "application_name='password=x'",
                             "passfile=/root/.pgpass", "postgresql://bob@db:5432/x?sslmode=require",
                             "postgresql:///x", "host=a options='-c x=y'"}) {
        expect_accepted(connection(text));
    }
}

TEST(LiteralSecrets, AMalformedConnectionIsNotEchoed) {
    for (const char* text : {"hunter2", "host=a hunter2", "host='a", "=hunter2"}) {
        const base::Error error = failure(std::string(kMinimal) + connection(text));
        EXPECT_EQ(error.message(), "lifeboat.yaml:14:17: the connection is not in libpq's form");
    }
}

TEST(LiteralSecrets, AUrlHoldsNoPassword) {
    for (const char* url :
         {"s3://AK:hunter2@bucket", "https://bob:hunter2@host/x", "S3://AK:hunter2@bucket"}) {
        std::string text(kMinimal);
        text.replace(text.find("file:///var/backups/lifeboat"), 28, url);
        const base::Error error = failure(text);
        EXPECT_EQ(error.code(), Code::Refused) << url;
        EXPECT_EQ(error.message().find("hunter2"), std::string::npos);
    }
}

}  // namespace
}  // namespace lifeboat::config
