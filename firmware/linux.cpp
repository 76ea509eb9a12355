// SPDX-License-Identifier: GPL-2.0-or-later
/// bzImage by its 32-bit entry.   Linux "The Linux/x86 Boot Protocol", sections "The Real-Mode Kernel Header", "32-bit Boot Protocol"
#include <fmt/format.h>

#include "base/bits.hpp"
#include "loader.hpp"

namespace vt::fw {
namespace {

constexpr u64 k4G = u64{1} << 32;

// Offsets of the header, equal in the file and in the zero page.
enum : unsigned {
  kSetupSects = 0x1f1, kSyssize = 0x1f4, kBootFlag = 0x1fe, kHeaderEnd = 0x201, kHdrS = 0x202, kVersion = 0x206,
  kTypeOfLoader = 0x210, kLoadflags = 0x211, kCode32Start = 0x214, kRamdiskImage = 0x218, kRamdiskSize = 0x21c,
  kCmdLinePtr = 0x228, kInitrdAddrMax = 0x22c, kKernelAlignment = 0x230, kRelocatable = 0x234, kCmdlineSize = 0x238,
  kPrefAddress = 0x258, kInitSize = 0x260,
};
// Offsets of the zero page alone.
enum : unsigned { kVideoMode = 0x006, kVideoCols = 0x007, kVideoLines = 0x00e, kIsVga = 0x00f, kVideoPoints = 0x010, kExtMemK = 0x002, kAcpiRsdpAddr = 0x070, kAltMemK = 0x1e0, kE820Entries = 0x1e8, kE820Table = 0x2d0 };

}  // namespace

bool is_linux(std::span<const u8> f) {
  return f.size() > kKernelAlignment && get_le(f, kBootFlag, 2) == 0xaa55 && get_le(f, kHdrS, 4) == 0x53726448;   // "HdrS"
}

void load_linux(Loading& l) {
  const std::span<const u8> f = l.kernel;
  const unsigned version = static_cast<unsigned>(get_le(f, kVersion, 2));
  if (version < 0x20a || f.size() < kInitSize + 4)
    l.fail(fmt::format("is a Linux kernel of boot protocol {}.{:02}; 2.10 (Linux 2.6.31) or later is needed", version >> 8, version & 0xff));
  if (!(f[kLoadflags] & 1)) l.fail("is a zImage, loaded low; give a bzImage");
  const u64 setup = (u64{f[kSetupSects] ? f[kSetupSects] : 4u} + 1) * 512, syssize = get_le(f, kSyssize, 4) * 16;
  if (setup >= f.size() || f.size() - setup + 15 < syssize)
    l.fail(fmt::format("is cut short: a bzImage of {} bytes is announced, the file has {}; copy or build it again", setup + syssize, f.size()));
  std::span<const u8> code = f.subspan(setup);

  const u64 pref = get_le(f, kPrefAddress, 8), need = std::max<u64>(get_le(f, kInitSize, 4), code.size());
  std::optional<u64> at;
  if (pref < k4G && l.ram.is_free({pref, need})) at = pref;
  else if (f[kRelocatable]) {
    u64 align = std::max<u64>(get_le(f, kKernelAlignment, 4), kPageSize);
    if (align & (align - 1)) l.fail(fmt::format("wants an alignment of {:#x}, which is no power of two: a damaged bzImage", align));
    at = l.ram.lowest(need, align, 1 << 20, k4G);
  }
  if (!at)
    l.fail(fmt::format("needs {:#x} bytes of RAM {}, which this platform does not have; give more memory or another E820", need,
                       f[kRelocatable] ? "below 4 GiB" : fmt::format("at {:#x}", pref)));
  l.ram.take({*at, need});
  l.image.blobs.push_back({Hpa(*at), {code.begin(), code.end()}, "kernel"});

  Bytes zero(kPageSize);
  std::size_t header_end = std::min<std::size_t>(kHdrS + f[kHeaderEnd], kE820Table);
  std::copy(f.begin() + kSetupSects, f.begin() + std::min(header_end, f.size()), zero.b.begin() + kSetupSects);
  u64 limit = get_le(f, kCmdlineSize, 4);
  if (l.r.append.size() > limit)
    l.fail(fmt::format("takes a command line of {} characters; this one has {}", limit, l.r.append.size()));
  // Modules are handed over by pages and Linux frees them so; the zero page and the command line stay low.
  u64 page = l.place_low(zero.size() + l.r.append.size() + 1, 0x10000, 0x80000);
  if (!l.r.initrd.empty()) {
    std::vector<u8> initrd = read_file(l.r.initrd);
    u64 top = std::min<u64>(get_le(f, kInitrdAddrMax, 4) + 1, k4G);
    auto where = l.ram.highest(align_up(initrd.size(), kPageSize), kPageSize, 1 << 20, top);
    if (!where) throw LoadError(l.r.initrd, fmt::format("{} bytes do not fit in free RAM below {:#x}; give more memory", initrd.size(), top));
    zero.put(kRamdiskImage, *where, 4);
    zero.put(kRamdiskSize, initrd.size(), 4);
    l.image.blobs.push_back({Hpa(*where), std::move(initrd), l.r.initrd});
  }
  if (l.p.vga) {   // "struct screen_info": mode 3 at its beginning
    zero.put(kVideoMode, 3, 1), zero.put(kVideoCols, 80, 1), zero.put(kVideoLines, 25, 1), zero.put(kIsVga, 1, 1), zero.put(kVideoPoints, 16, 2);
  }
  zero.put(kTypeOfLoader, 0xff, 1);   // no assigned number
  zero.put(kCode32Start, *at, 4);
  zero.put(kCmdLinePtr, page + kPageSize, 4);
  if (version >= 0x20e) zero.put(kAcpiRsdpAddr, firmware_layout(l.p).rsdp, 8);
  u64 n = 0, above = 0;
  for (const E820Range& e : l.p.e820) {
    std::size_t slot = kE820Table + 20 * n++;
    zero.put(slot, e.first, 8), zero.put(slot + 8, e.size, 8), zero.put(slot + 16, static_cast<u32>(e.type), 4);
    if (e.type == E820::RAM && e.first == 1 << 20) above = e.size >> 10;
  }
  zero.put(kE820Entries, n, 1);
  zero.put(kAltMemK, std::min<u64>(above, 0xffffffff), 4);
  zero.put(kExtMemK, std::min<u64>(above, 0xfc00), 2);
  zero.cstr(l.r.append);
  l.image.blobs.push_back({Hpa(page), std::move(zero.b), "zero page and command line"});
  l.image.kernel_kind = "linux";
  l.enter(*at, 0, 0, static_cast<u32>(page));
}

}  // namespace vt::fw
