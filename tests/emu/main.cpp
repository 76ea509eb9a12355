// SPDX-License-Identifier: GPL-2.0-or-later
/// `test_emu --continue CHECKPOINT PLATFORM LAST` restores, runs to step LAST and prints the state's hash: the other process of
/// determinism_test.cpp.
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "guest.hpp"

int main(int argc, char** argv) {
  using namespace vt;
  if (argc == 5 && std::strcmp(argv[1], "--continue") == 0) {
    try {
      emu::Console console;
      emu::Machine m(fw::load_platform(argv[3]), console);
      emu::load_checkpoint(m, argv[2]);
      m.run(std::strtoull(argv[4], nullptr, 10));
      std::fputs(m.state_hash().c_str(), stdout);
      return 0;
    } catch (const std::exception& e) {
      std::fputs(e.what(), stdout);
      return 1;
    }
  }
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
