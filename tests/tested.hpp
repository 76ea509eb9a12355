// SPDX-License-Identifier: GPL-2.0-or-later
/// What tests tell of the rows that they try: with VT_TESTED=FILE in the environment, lines "what, row, test, cases" with tabs between them are added to FILE when
/// the program ends. scripts/tested.py makes tests/tested.txt of them, and that is what docs/coverage.md says of tests.
#pragma once
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <tuple>

namespace vt {

class TestedRows {
 public:
  static TestedRows& instance() {
    static TestedRows rows;
    return rows;
  }
  void add(const std::string& what, const std::string& row, unsigned long cases) {
    const testing::TestInfo* test = testing::UnitTest::GetInstance()->current_test_info();
    if (file_ && test) rows_[{what, row, std::string(test->test_suite_name()) + "." + test->name()}] += cases;
  }
  ~TestedRows() {
    std::FILE* f = file_ ? std::fopen(file_, "a") : nullptr;
    if (!f) return;
    for (auto& [key, n] : rows_) std::fprintf(f, "%s\t%s\t%s\t%lu\n", std::get<0>(key).c_str(), std::get<1>(key).c_str(), std::get<2>(key).c_str(), n);
    std::fclose(f);
  }

 private:
  const char* file_ = std::getenv("VT_TESTED");
  std::map<std::tuple<std::string, std::string, std::string>, unsigned long> rows_;
};

/// `cases` of them were tried in this test.
inline void tested(const std::string& what, const std::string& row, unsigned long cases = 1) { TestedRows::instance().add(what, row, cases); }
/// A row that is known by a number.
inline void tested(const std::string& what, unsigned long long number, unsigned long cases = 1) {
  char row[24];
  std::snprintf(row, sizeof row, "%llXH", number);
  TestedRows::instance().add(what, row, cases);
}

}  // namespace vt
