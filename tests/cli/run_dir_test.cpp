// SPDX-License-Identifier: GPL-2.0-or-later
#include "run_dir.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "verbs.hpp"

namespace vt::cli {
namespace {
namespace fs = std::filesystem;

struct RunDirTest : ::testing::Test {
  RunDirTest() {
    char name[] = "/tmp/vitrine-dir-XXXXXX";
    top = ::mkdtemp(name);
  }
  ~RunDirTest() override { fs::remove_all(top); }
  std::string top;
};

TEST_F(RunDirTest, checking_makes_nothing) {
  RunDir d(top + "/a/b/");
  EXPECT_FALSE(fs::exists(top + "/a"));
  d.create();
  EXPECT_TRUE(fs::is_directory(top + "/a/b/cache"));
}

TEST_F(RunDirTest, what_is_not_a_run_is_left_alone) {
  std::ofstream(top + "/precious") << "x";
  EXPECT_THROW(RunDir{top}, UsageError);
  EXPECT_THROW(RunDir{top + "/precious"}, UsageError);
  EXPECT_THROW(RunDir{top + "/precious/run"}, UsageError);
  fs::create_directory(top + "/other");
  std::ofstream(top + "/other/manifest.json") << R"({"schema": "somebody.else/1"})";
  EXPECT_THROW(RunDir{top + "/other"}, UsageError);
  EXPECT_TRUE(fs::exists(top + "/precious"));
}

TEST_F(RunDirTest, an_older_run_is_replaced_and_an_empty_directory_taken) {
  RunDir empty(top);
  empty.create();
  empty.write(kManifest, std::string("{\"schema\": \"") + kRunSchema + "\"}");
  empty.write(kConsole, "old");
  EXPECT_TRUE(is_run(top));
  RunDir again(top);
  again.create();
  EXPECT_FALSE(fs::exists(top + "/" + kConsole));
  EXPECT_FALSE(is_run(top));
}

}  // namespace
}  // namespace vt::cli
