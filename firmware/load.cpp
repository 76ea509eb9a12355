// SPDX-License-Identifier: GPL-2.0-or-later
/// Which loader a file needs, and what all of them share.
#include <fmt/format.h>

#include <algorithm>

#include "base/bits.hpp"
#include "loader.hpp"

namespace vt::fw {
namespace {

constexpr u64 k4G = u64{1} << 32;
constexpr u64 k1M = u64{1} << 20;
constexpr u64 kModulesFrom = 64 * k1M;   // clear of a hypervisor at 2 MiB and of Linux at 16 MiB
constexpr std::size_t kMaxModules = 64;  // more than any kernel takes

void cut(std::vector<Range>& all, const Range& hole) {
  std::vector<Range> out;
  for (const Range& r : all) {
    if (!r.overlaps(hole)) { out.push_back(r); continue; }
    if (r.first < hole.first) out.push_back({r.first, hole.first - r.first});
    if (r.last() > hole.last()) out.push_back({hole.last() + 1, r.last() - hole.last()});
  }
  all = std::move(out);
}

bool inside(const std::vector<Range>& all, const Range& r) {
  if (r.first + r.size < r.first) return false;
  return std::any_of(all.begin(), all.end(), [&](const Range& a) { return r.first >= a.first && r.last() <= a.last(); });
}

bool starts(std::span<const u8> f, std::initializer_list<u8> with) {
  return f.size() >= with.size() && std::equal(with.begin(), with.end(), f.begin());
}

/// The next step for files that are something else.
std::string advice(std::span<const u8> f) {
  if (starts(f, {'M', 'Z'}))
    return "is an EFI program (PE), and there is no EFI here; give the Multiboot file instead: for Xen xen.gz or xen-VERSION-amd64.gz, "
           "not xen.efi or xen-VERSION-amd64.efi";
  if (starts(f, {'0', '7', '0', '7', '0'})) return "is an initramfs (cpio), not a kernel; give it as --initrd, or with Xen as the second --module";
  if (starts(f, {0xfd, '7', 'z', 'X', 'Z', 0})) return "is packed with xz; unpack it first (unxz)";
  if (starts(f, {0x28, 0xb5, 0x2f, 0xfd})) return "is packed with zstd; unpack it first (unzstd)";
  if (starts(f, {'B', 'Z', 'h'})) return "is packed with bzip2; unpack it first (bunzip2)";
  if (starts(f, {'Q', 'F', 'I', 0xfb})) return "is a qcow2 disk image, not a kernel";
  return {};
}

/// A ROM of our users' own: it ends at 4 GiB, and its last 128 KiB also below 1 MiB.   SDM 3A "First Instruction Executed"
void load_rom(Loading& l) {
  const std::span<const u8> f = l.kernel;
  constexpr std::size_t kUnit = 64 << 10;
  if (f.size() % kUnit || f.size() > 16 * k1M)
    l.fail(fmt::format("is neither a Multiboot or PVH ELF file, nor a bzImage; as a ROM image its size, {} bytes, would have to be a multiple of "
                       "64 KiB up to 16 MiB", f.size()));
  u8 first = f[f.size() - 16];
  if (first == 0x00 || first == 0xff)
    l.fail("is of no known kind, and as a ROM image it has no instruction at its reset vector, 16 bytes before the end");
  l.image.blobs.push_back({Hpa(k4G - f.size()), {f.begin(), f.end()}, "ROM"});
  std::size_t low = std::min<std::size_t>(f.size(), 2 * kUnit);
  l.image.blobs.push_back({Hpa(k1M - low), {f.end() - low, f.end()}, "ROM below 1 MiB"});
  l.image.kernel_kind = "rom";
  l.image.entry.mode = Entry::Mode::reset_vector;
}

void no_initrd(Loading& l) {
  if (!l.r.initrd.empty())
    throw LoadError(l.r.initrd, "a Multiboot kernel takes no initrd; give it as a --module (with Xen the second one, after dom0's kernel)");
}
void no_modules(Loading& l, const char* kind) {
  if (!l.r.modules.empty()) throw LoadError(l.r.modules[0].file, fmt::format("{} takes no modules; give an initramfs with --initrd", kind));
}

[[noreturn]] void no_entry(Loading& l, bool is64) {
  l.fail(fmt::format("is an ELF{} file without a Multiboot header in its first 8 KiB and without a PVH entry note; "
                     "if it is a file of symbols (xen-syms, vmlinux, *.debug), give the bootable one: xen.gz, xen-VERSION-amd64.gz, bzImage",
                     is64 ? 64 : 32));
}

constexpr const char* kProtocols[] = {"linux", "multiboot1", "multiboot2", "pvh"};

}  // namespace

u64 contiguous_ram(const Platform& p, u64 from, u64 end) {
  u64 to = from;
  for (bool grew = true; grew;) {
    grew = false;
    for (const E820Range& e : p.e820)
      if (e.type == E820::RAM && e.first <= to && e.first + e.size > to) to = e.first + e.size, grew = true;
  }
  return std::min(to, std::max(end, from)) - from;
}

Ram::Ram(const Platform& p) {
  for (const E820Range& e : p.e820) if (e.type == E820::RAM) ram_.push_back({e.first, e.size});
  std::sort(ram_.begin(), ram_.end(), [](const Range& a, const Range& b) { return a.first < b.first; });
  std::vector<Range> joined;
  for (const Range& r : ram_)
    if (!joined.empty() && joined.back().last() + 1 == r.first) joined.back().size += r.size;
    else joined.push_back(r);
  ram_ = free_ = std::move(joined);
  cut(free_, {0, kPageSize});
}
bool Ram::is_ram(const Range& r) const { return inside(ram_, r); }
bool Ram::is_free(const Range& r) const { return inside(free_, r); }
void Ram::take(const Range& r) { cut(free_, r); }

std::optional<u64> Ram::lowest(u64 size, u64 align, u64 min, u64 end) {
  for (const Range& r : free_) {
    u64 at = align_up(std::max(r.first, min), align), stop = std::min(r.first + r.size, end);
    if (at >= stop || size > stop - at) continue;
    take({at, size});
    return at;
  }
  return {};
}

std::optional<u64> Ram::highest(u64 size, u64 align, u64 min, u64 end) {
  for (auto r = free_.rbegin(); r != free_.rend(); ++r) {
    u64 stop = std::min(r->first + r->size, end);
    if (stop < size || stop <= r->first) continue;
    u64 at = align_down(stop - size, align);
    if (at < std::max(r->first, min)) continue;
    take({at, size});
    return at;
  }
  return {};
}

std::string command_line(const std::string& file, const std::string& args) {
  auto slash = file.rfind('/');
  std::string name = slash == file.npos ? file : file.substr(slash + 1);
  std::replace(name.begin(), name.end(), ' ', '_');   // it has to be one word
  return args.empty() ? name : name + " " + args;
}

void Loading::place_fixed(u64 at, std::span<const u8> bytes, u64 memsz, const std::string& name) {
  Range r{at, std::max<u64>(memsz, bytes.size())};
  if (!r.size) return;
  if (r.first + r.size > k4G || r.first + r.size < r.first)
    fail(fmt::format("wants {:#x}-{:#x}, beyond 4 GiB; it is not linked for loading by physical addresses", r.first, r.last()));
  if (!ram.is_ram(r))
    fail(fmt::format("wants {:#x}-{:#x}, which is not all RAM on this platform; give more memory or another E820", r.first, r.last()));
  if (!ram.is_free(r) && r.first < kPageSize) fail(fmt::format("wants {:#x}-{:#x}, but page 0 holds the BIOS data area", r.first, r.last()));
  ram.take(r);
  if (!bytes.empty()) image.blobs.push_back({Hpa(at), {bytes.begin(), bytes.end()}, name});
}

void Loading::place_elf(const Elf& e) {
  if (e.load.empty()) fail("has no loadable segments; it cannot be started");
  for (const Elf::Segment& s : e.load) place_fixed(s.paddr, kernel.subspan(s.offset, s.filesz), s.memsz, "kernel");
}

std::vector<Loading::Placed> Loading::place_modules(const std::vector<Module>& modules, bool with_file_name) {
  if (modules.size() > kMaxModules)
    throw LoadError(modules[kMaxModules].file, fmt::format("{} modules are too many; {} can be loaded", modules.size(), kMaxModules));
  std::vector<Placed> out;
  for (const Module& m : modules) {
    std::vector<u8> bytes = read_file(m.file);
    auto at = ram.lowest(bytes.size(), kPageSize, kModulesFrom, k4G);
    if (!at) at = ram.lowest(bytes.size(), kPageSize, k1M, k4G);
    if (!at)
      throw LoadError(m.file, fmt::format("{} bytes do not fit in free RAM below 4 GiB; give more memory", bytes.size()));
    // The rest of the last page stays free of others: modules are handed over by pages.
    ram.take({*at, align_up(bytes.size(), kPageSize)});
    out.push_back({*at, bytes.size(), with_file_name ? command_line(m.file, m.args) : m.args});
    image.blobs.push_back({Hpa(*at), std::move(bytes), m.file});
  }
  return out;
}

u64 Loading::place_low(std::size_t size, u64 min, u64 end) {
  auto at = ram.lowest(size, kPageSize, min, end);
  if (!at) at = ram.lowest(size, kPageSize, k1M, k4G);
  if (!at) fail(fmt::format("no free RAM for {} bytes of boot information; give more memory", size));
  return *at;
}

void Loading::enter(u64 eip, u32 eax, u32 ebx, u32 esi) {
  if (eip >= k4G) fail(fmt::format("its entry point {:#x} is beyond 4 GiB; it is not linked for loading by physical addresses", eip));
  if (!ram.is_ram({eip, 1})) fail(fmt::format("its entry point {:#x} is not in RAM on this platform", eip));
  image.entry = {Entry::Mode::protected_flat32, static_cast<u32>(eip), eax, ebx, esi, 0};
}

std::span<const char* const> boot_protocols() { return kProtocols; }

Image load(const Platform& p, const LoadRequest& r) {
  std::vector<u8> bytes = gunzip(read_file(r.kernel), r.kernel);
  Loading l{p, r, bytes, Ram(p), {}};
  const auto mb1 = find_multiboot1(bytes), mb2 = find_multiboot2(bytes);
  const bool linux = is_linux(bytes), elf = is_elf(bytes) && !linux;
  std::optional<Elf> e;
  if (elf) e = parse_elf(bytes, r.kernel);
  const auto pvh = e ? pvh_entry(*e) : std::nullopt;

  std::string all, wanted;
  auto offers = [&](const char* name, bool there) {
    if (!there) return;
    all += (all.empty() ? "" : ", ") + std::string(name);
    if (wanted.empty() && (r.protocol.empty() || r.protocol == name)) wanted = name;
  };
  offers(kProtocols[0], linux), offers(kProtocols[1], !linux && mb1), offers(kProtocols[2], !linux && mb2), offers(kProtocols[3], pvh.has_value());
  if (wanted.empty() && !all.empty()) l.fail(fmt::format("cannot be started by {}; it offers {}", r.protocol, all));

  if (wanted == "linux") { no_modules(l, "Linux"); load_linux(l); }
  else if (wanted == "multiboot1") { no_initrd(l); load_multiboot1(l, *mb1); }
  else if (wanted == "multiboot2") { no_initrd(l); load_multiboot2(l, *mb2); }
  else if (wanted == "pvh") load_pvh(l, *e, *pvh);
  else if (elf) no_entry(l, e->is64);
  else if (std::string a = advice(bytes); !a.empty()) l.fail(a);
  else if (!r.protocol.empty()) l.fail(fmt::format("cannot be started by {}: it is of no known kind", r.protocol));
  else { no_initrd(l); no_modules(l, "a ROM image"); load_rom(l); }
  return std::move(l.image);
}

}  // namespace vt::fw
