// SPDX-License-Identifier: GPL-2.0-or-later
/// libFuzzer: any bytes as a kernel or ROM, for each protocol. What is loaded lies in memory that the platform has.
#include <sys/mman.h>
#include <unistd.h>

#include "base/check.hpp"
#include "firmware/image.hpp"
#include "firmware/platform.hpp"

using namespace vt;

extern "C" int LLVMFuzzerTestOneInput(const u8* data, std::size_t size) {
  static const fw::Platform platform = fw::default_platform(u64{64} << 20);
  static const int file = ::memfd_create("kernel", 0);
  static const std::string name = "/proc/self/fd/" + std::to_string(file);
  if (!size || ::ftruncate(file, 0) != 0 || ::pwrite(file, data + 1, size - 1, 0) != static_cast<ssize_t>(size - 1)) return 0;
  fw::LoadRequest r{name, "words", {}, {}, {}};
  const auto protocols = fw::boot_protocols();
  if (const unsigned n = data[0] & 7; n < protocols.size()) r.protocol = protocols[n];
  if (data[0] & 8) r.modules.push_back({name, "a module"});
  if (data[0] & 0x10) r.initrd = name;
  try {
    const fw::Image image = fw::load(platform, r);
    for (auto& b : image.blobs) CHECK(b.at.v + b.bytes.size() >= b.at.v && b.at.v + b.bytes.size() <= u64{1} << 32, "loaded where there is nothing");
  } catch (const fw::LoadError&) {
  }
  return 0;
}
