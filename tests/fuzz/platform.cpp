// SPDX-License-Identifier: GPL-2.0-or-later
/// libFuzzer: any text as a platform description. What is accepted is written and read again the same, and firmware can be built for it.
#include "base/check.hpp"
#include "firmware/image.hpp"
#include "firmware/platform.hpp"

using namespace vt::fw;

extern "C" int LLVMFuzzerTestOneInput(const vt::u8* data, std::size_t size) {
  Platform p;
  try {
    p = parse_platform({reinterpret_cast<const char*>(data), size}, "fuzz.json");
  } catch (const PlatformError&) {
    return 0;
  }
  lint(p);
  const std::string text = to_json(p);
  CHECK(to_json(parse_platform(text, "again.json")) == text, "a description changes by being written");
  try {
    build_firmware(p);
  } catch (const PlatformError&) {   // no room for the tables
  }
  return 0;
}
