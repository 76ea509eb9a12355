// SPDX-License-Identifier: GPL-2.0-or-later
/// What fuzzers have found worth keeping, once more without them: each line of the file is an input in hexadecimal.
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

int main(int argc, char** argv) {
  std::size_t inputs = 0;
  std::ifstream in(argc > 1 ? argv[1] : "");
  for (std::string line; std::getline(in, line); ++inputs) {
    std::vector<std::uint8_t> bytes;
    for (std::size_t i = 0; i + 1 < line.size(); i += 2) bytes.push_back(static_cast<std::uint8_t>(std::stoul(line.substr(i, 2), nullptr, 16)));
    LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
  }
  std::printf("%zu inputs\n", inputs);
  if (inputs) return 0;
  std::fprintf(stderr, "%s: there is nothing in it\n", argc > 1 ? argv[1] : "no file given");
  return 1;
}
