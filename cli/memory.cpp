// SPDX-License-Identifier: GPL-2.0-or-later
/// vitrine memory: what programs of other people's need to judge ours.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "sandbox.hpp"
#include "saved.hpp"
#include "text.hpp"
#include "verbs.hpp"

namespace vt::cli {

int memory(const MemoryOptions& o) {
  AddressRange range;
  if (!o.range.empty()) {
    auto r = parse_range(o.range);
    if (!r) throw UsageError(fmt::format("{}: not a range; write 0x1000-0x1fff (inclusive) or 0x1000+4K", o.range));
    range = *r;
  }
  sandbox::may_write(std::filesystem::path(o.out).parent_path());
  Saved saved(o.run);
  const PhysMem& mem = saved.machine().memory();
  const u64 end = std::min(range.last, mem.top() - 1) + 1;
  if (range.first >= end) throw UsageError(fmt::format("{}: there is no memory above {:#x}", o.range, mem.top() - 1));
  const int fd = ::open(o.out.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  auto fail = [&](const char* what) { return InputError(fmt::format("{}: {} ({})", o.out, what, std::strerror(errno))); };
  if (fd < 0) throw fail("cannot be written");
  static constexpr std::array<u8, kPageSize> kZero{};
  u64 pages = 0;
  bool ok = ::ftruncate(fd, static_cast<off_t>(end - range.first)) == 0;
  for (u64 at = range.first; ok && at < end;) {
    const u64 n = std::min(kPageSize - at % kPageSize, end - at);
    const u8* p = mem.host() + at;
    if (mem.present(Hpa{at}) && std::memcmp(p, kZero.data(), n) != 0) {
      ok = ::pwrite(fd, p, n, static_cast<off_t>(at - range.first)) == static_cast<ssize_t>(n);
      ++pages;
    }
    at += n;
  }
  if (!ok) { auto e = fail("cannot be written completely"); ::close(fd); throw e; }
  if (::close(fd) != 0) throw fail("cannot be written completely");
  std::fprintf(stderr, "vitrine: %s: %s bytes, %s pages that are not zero\n", o.out.c_str(), grouped(end - range.first).c_str(), grouped(pages).c_str());
  return status::ok;
}

}  // namespace vt::cli
