// SPDX-License-Identifier: GPL-2.0-or-later
/// Loaders, on files made here: what lands where, and what is said of files that cannot be loaded.
#include <gtest/gtest.h>
#include <unistd.h>
#include <zlib.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>

#include "base/bits.hpp"
#include "firmware/image.hpp"
#include "firmware/layout.hpp"

using namespace vt;
using namespace vt::fw;

namespace {

using Data = std::vector<u8>;

void put(Data& d, std::size_t at, u64 v, unsigned n) {
  if (d.size() < at + n) d.resize(at + n);
  for (unsigned i = 0; i < n; ++i) d[at + i] = static_cast<u8>(v >> (8 * i));
}

struct Segment { u64 paddr, memsz; Data bytes; u64 vaddr = 0; u32 type = 1; };

/// Program headers at the file's beginning, segments from 0x1000 on.
Data make_elf(bool is64, u64 entry, const std::vector<Segment>& segments, u16 machine = 0) {
  Data d;
  put(d, 0, 0x464c457f, 4);
  put(d, 4, is64 ? 2 : 1, 1), put(d, 5, 1, 1), put(d, 6, 1, 1);
  put(d, 16, 2, 2), put(d, 18, machine ? machine : is64 ? 62 : 3, 2);
  unsigned w = is64 ? 8 : 4, ph = is64 ? 64 : 52, each = is64 ? 56 : 32;
  put(d, 24, entry, w), put(d, 24 + w, ph, w);
  put(d, is64 ? 54 : 42, each, 2), put(d, is64 ? 56 : 44, segments.size(), 2);
  u64 at = 0x1000;
  for (std::size_t i = 0; i < segments.size(); ++i) {
    const Segment& s = segments[i];
    u64 p = ph + i * each, v = s.vaddr ? s.vaddr : s.paddr;
    put(d, p, s.type, 4);
    if (is64) put(d, p + 8, at, 8), put(d, p + 16, v, 8), put(d, p + 24, s.paddr, 8), put(d, p + 32, s.bytes.size(), 8), put(d, p + 40, s.memsz, 8);
    else put(d, p + 4, at, 4), put(d, p + 8, v, 4), put(d, p + 12, s.paddr, 4), put(d, p + 16, s.bytes.size(), 4), put(d, p + 20, s.memsz, 4);
    d.resize(std::max<std::size_t>(d.size(), at + s.bytes.size()));
    std::copy(s.bytes.begin(), s.bytes.end(), d.begin() + static_cast<std::ptrdiff_t>(at));
    at += align_up(s.bytes.size(), 16);
  }
  return d;
}

Data multiboot1_header(u32 flags = 3, std::vector<u32> more = {}) {
  Data d;
  put(d, 0, 0x1badb002, 4), put(d, 4, flags, 4), put(d, 8, static_cast<u32>(-(0x1badb002 + flags)), 4);
  for (u32 v : more) put(d, d.size(), v, 4);
  d.resize(std::max<std::size_t>(d.size(), 64), 0x90);
  return d;
}

Data multiboot2_header(const std::vector<Data>& tags) {
  Data d;
  put(d, 0, 0xe85250d6, 4), put(d, 4, 0, 4), put(d, 8, 0, 4), put(d, 12, 0, 4);
  for (const Data& t : tags) { d.insert(d.end(), t.begin(), t.end()); d.resize(align_up(d.size(), 8)); }
  put(d, d.size(), 0, 4), put(d, d.size(), 8, 4);
  put(d, 8, d.size(), 4);
  put(d, 12, static_cast<u32>(-(0xe85250d6 + static_cast<u32>(d.size()))), 4);
  return d;
}
Data tag2(u16 type, u16 flags, const std::vector<u32>& words) {
  Data d;
  put(d, 0, type, 2), put(d, 2, flags, 2), put(d, 4, 8 + 4 * words.size(), 4);
  for (u32 w : words) put(d, d.size(), w, 4);
  return d;
}

/// Debian's Xen in small: 2 MiB, more memory than bytes.
Data xen_like() { return make_elf(false, 0x200000, {{0x200000, 0x3a7000, multiboot1_header()}}); }

Data note(const std::string& name, u32 type, u32 value) {
  Data d;
  put(d, 0, name.size() + 1, 4), put(d, 4, 4, 4), put(d, 8, type, 4);
  for (char c : name) put(d, d.size(), static_cast<u8>(c), 1);
  put(d, d.size(), 0, 1);
  d.resize(align_up(d.size(), 4));
  put(d, d.size(), value, 4);
  return d;
}

Data bzimage(u16 version = 0x20f, u64 pref = 0x1000000, u32 init_size = 0x2000000, u8 relocatable = 1, std::size_t code = 0x4000) {
  Data d(0x400 + code, 0xcc);
  std::fill(d.begin(), d.begin() + 0x400, 0);
  put(d, 0x1f1, 1, 1), put(d, 0x1f4, code / 16, 4), put(d, 0x1fe, 0xaa55, 2);
  put(d, 0x201, 0x6a, 1), put(d, 0x202, 0x53726448, 4), put(d, 0x206, version, 2);
  put(d, 0x211, 1, 1), put(d, 0x22c, 0x7fffffff, 4), put(d, 0x230, 0x200000, 4), put(d, 0x234, relocatable, 1), put(d, 0x238, 2047, 4);
  put(d, 0x258, pref, 8), put(d, 0x260, init_size, 4);
  return d;
}

class loaders : public testing::Test {
 protected:
  void SetUp() override {
    std::string t = (std::filesystem::temp_directory_path() / "vitrine-load-XXXXXX").string();
    dir = mkdtemp(t.data());
  }
  void TearDown() override { std::filesystem::remove_all(dir); }
  std::string file(const std::string& name, const Data& d) {
    std::ofstream(dir + "/" + name, std::ios::binary).write(reinterpret_cast<const char*>(d.data()), static_cast<std::streamsize>(d.size()));
    return dir + "/" + name;
  }
  std::string gz(const std::string& name, const Data& d) {
    std::string path = dir + "/" + name;
    gzFile g = gzopen(path.c_str(), "wb");
    gzwrite(g, d.data(), static_cast<unsigned>(d.size()));
    gzclose(g);
    return path;
  }
  Data contents(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  const Image& run(const LoadRequest& r) {
    image = load(p, r);
    memory.clear();
    for (const Blob& b : image.blobs)
      for (std::size_t i = 0; i < b.bytes.size(); ++i) {
        EXPECT_FALSE(memory.count(b.at.v + i)) << b.name << " overlaps";
        memory[b.at.v + i] = b.bytes[i];
      }
    return image;
  }
  std::string wrong(const LoadRequest& r) {
    try { load(p, r); } catch (const LoadError& e) {
      std::string m = e.what();
      if (auto at = m.find(dir + "/"); at == 0) m.erase(0, dir.size() + 1);
      return m;
    }
    return "loaded";
  }
  std::string wrong(const std::string& kernel) { return wrong(LoadRequest{kernel, "", {}, ""}); }
  u64 get(u64 at, unsigned n) { u64 v = 0; for (unsigned i = n; i-- > 0;) v = v << 8 | (memory.count(at + i) ? memory[at + i] : 0); return v; }
  std::string str(u64 at) { std::string s; for (; get(at, 1); ++at) s += static_cast<char>(get(at, 1)); return s; }

  std::string dir;
  Platform p = default_platform(u64{2} << 30);
  Image image;
  std::map<u64, u8> memory;
};

// ---- Multiboot 1 ----

TEST_F(loaders, multiboot1_state_and_information) {     // Multiboot "Machine state", "Boot information format"
  LoadRequest r{gz("xen.gz", xen_like()), "no-real-mode com1=115200,8n1", {{file("vmlinuz", Data(0x1234, 7)), "console=hvc0"}, {file("initrd", Data(0x5000, 9)), ""}}, ""};
  run(r);
  EXPECT_EQ(image.kernel_kind, "multiboot1");
  EXPECT_EQ(image.entry.mode, Entry::Mode::protected_flat32);
  EXPECT_EQ(image.entry.eip, 0x200000u);
  EXPECT_EQ(image.entry.eax, 0x2badb002u);
  EXPECT_EQ(get(0x200000, 4), 0x1badb002u);
  u64 i = image.entry.ebx;
  EXPECT_GE(i, 0x1000u);
  EXPECT_LT(i, 0x9000u);
  EXPECT_EQ(get(i, 4), 1u | 4 | 8 | 0x40 | 0x200);
  EXPECT_EQ(get(i + 4, 4), 639u);
  EXPECT_EQ(get(i + 8, 4), (0x7ffe0000u - 0x100000) / 1024);
  EXPECT_EQ(str(get(i + 16, 4)), "xen.gz no-real-mode com1=115200,8n1");
  EXPECT_EQ(str(get(i + 64, 4)).find("GRUB "), std::string::npos);
  ASSERT_EQ(get(i + 20, 4), 2u);
  u64 m = get(i + 24, 4);
  EXPECT_EQ(get(m, 4), 0x4000000u);
  EXPECT_EQ(get(m + 4, 4), 0x4001234u);
  EXPECT_EQ(str(get(m + 8, 4)), "vmlinuz console=hvc0");
  EXPECT_EQ(get(m + 16, 4), 0x4002000u) << "modules begin on pages";
  EXPECT_EQ(str(get(m + 24, 4)), "initrd");
  EXPECT_EQ(get(get(m, 4), 1), 7u);
  EXPECT_EQ(get(get(m + 16, 4), 1), 9u);
}

TEST_F(loaders, multiboot1_map_is_the_e820_exactly) {
  p = load_platform(PLATFORMS "/odd-edges.json");
  run({file("k", xen_like()), "", {}, ""});
  u64 i = image.entry.ebx, at = get(i + 48, 4);
  ASSERT_EQ(get(i + 44, 4), 24 * p.e820.size());
  for (const E820Range& e : p.e820) {
    EXPECT_EQ(get(at, 4), 20u);
    EXPECT_EQ(get(at + 4, 8), e.first);
    EXPECT_EQ(get(at + 12, 8), e.size);
    EXPECT_EQ(get(at + 20, 4), static_cast<u32>(e.type));
    at += get(at, 4) + 4;
  }
}

TEST_F(loaders, modules_stay_clear_of_the_kernels_bss) {
  run({file("k", make_elf(false, 0x200000, {{0x200000, 0x5000000, multiboot1_header()}})), "", {{file("m", Data(10, 1)), ""}}, ""});
  EXPECT_EQ(get(get(image.entry.ebx + 24, 4), 4), 0x5200000u);
}

TEST_F(loaders, modules_go_lower_where_memory_is_small) {
  p = default_platform(u64{32} << 20);
  run({file("k", xen_like()), "", {{file("m", Data(10, 1)), ""}}, ""});
  EXPECT_EQ(get(get(image.entry.ebx + 24, 4), 4), 0x100000u);
}

TEST_F(loaders, everything_lies_in_ram_and_off_page_zero) {
  for (auto& f : std::filesystem::directory_iterator(PLATFORMS)) {
    p = load_platform(f.path());
    run({file("k", xen_like()), "x", {{file("m", Data(100000, 1)), ""}}, ""});
    for (const Blob& b : image.blobs) {
      EXPECT_GE(b.at.v, kPageSize);
      bool in = false;
      for (auto& e : p.e820) in |= e.type == E820::RAM && b.at.v >= e.first && b.at.v + b.bytes.size() <= e.first + e.size;
      EXPECT_TRUE(in) << f.path() << " " << b.name;
    }
  }
}

TEST_F(loaders, elf64_entry_is_turned_into_a_physical_address) {
  run({file("k", make_elf(true, 0xffffffff80200040, {{0x200000, 0x1000, multiboot1_header(), 0xffffffff80200000}})), "", {}, ""});
  EXPECT_EQ(image.entry.eip, 0x200040u);
}

TEST_F(loaders, multiboot1_address_fields) {     // Multiboot "The address fields of Multiboot header"
  Data d(0x100, 0x11);
  Data h = multiboot1_header(3 | 1 << 16, {0x300100, 0x300000, 0, 0x310000, 0x300180});
  d.insert(d.end(), h.begin(), h.end());
  run({file("flat", d), "", {{file("m", Data(1, 1)), ""}}, ""});
  EXPECT_EQ(image.entry.eip, 0x300180u);
  EXPECT_EQ(get(0x300000, 1), 0x11u);
  EXPECT_EQ(get(0x300100, 4), 0x1badb002u);
}

TEST_F(loaders, a_file_name_with_blanks_stays_one_word) {
  run({file("my kernel", xen_like()), "a", {}, ""});
  EXPECT_EQ(str(get(image.entry.ebx + 16, 4)), "my_kernel a");
}

TEST_F(loaders, information_that_is_too_long_for_low_memory_goes_above_one_mib) {
  run({file("k", xen_like()), std::string(40000, 'a'), {}, ""});
  EXPECT_GE(image.entry.ebx, 0x100000u);
  EXPECT_EQ(str(get(image.entry.ebx + 16, 4)).size(), 40002u);
}

TEST_F(loaders, placement_does_not_depend_on_the_directory) {
  std::filesystem::create_directory(dir + "/sub");
  Image a = load(p, {file("k", xen_like()), "x", {{file("m", Data(10, 1)), "y"}}, ""});
  Image b = load(p, {file("sub/k", xen_like()), "x", {{file("sub/m", Data(10, 1)), "y"}}, ""});
  ASSERT_EQ(a.blobs.size(), b.blobs.size());
  for (std::size_t i = 0; i < a.blobs.size(); ++i) { EXPECT_EQ(a.blobs[i].at, b.blobs[i].at); EXPECT_EQ(a.blobs[i].bytes, b.blobs[i].bytes); }
}

// ---- Multiboot 2 ----

TEST_F(loaders, multiboot2_tags) {     // Multiboot2 "Boot information format"
  run({file("k", make_elf(false, 0x200010, {{0x200000, 0x1000, multiboot2_header({tag2(1, 0, {4, 6}), tag2(6, 0, {})})}})), "opt", {{file("m", Data(5, 3)), "arg"}}, ""});
  EXPECT_EQ(image.kernel_kind, "multiboot2");
  EXPECT_EQ(image.entry.eax, 0x36d76289u);
  EXPECT_EQ(image.entry.eip, 0x200010u);
  u64 i = image.entry.ebx, end = i + get(i, 4);
  std::map<u64, u64> tags;
  for (u64 at = i + 8; at < end; at += align_up(get(at + 4, 4), 8)) { ASSERT_GE(get(at + 4, 4), 8u); tags[get(at, 4)] = at; }
  EXPECT_EQ(str(tags.at(1) + 8), "k opt");
  EXPECT_EQ(get(tags.at(3) + 8, 4), 0x4000000u);
  EXPECT_EQ(get(tags.at(3) + 12, 4), 0x4000005u);
  EXPECT_EQ(str(tags.at(3) + 16), "m arg");
  EXPECT_EQ(get(tags.at(6) + 8, 4), 24u);
  EXPECT_EQ(get(tags.at(6) + 4, 4), 16 + 24 * p.e820.size());
  EXPECT_EQ(get(tags.at(14) + 4, 4), 8u + 20);
  EXPECT_EQ(get(tags.at(15) + 4, 4), 8u + 36);
  EXPECT_EQ(get(tags.at(21) + 8, 4), 0x200000u);
  EXPECT_EQ(get(tags.at(0) + 4, 4), 8u);
}

TEST_F(loaders, multiboot1_is_preferred) {
  Data h = multiboot1_header(), h2 = multiboot2_header({});
  h.insert(h.end(), h2.begin(), h2.end());
  EXPECT_EQ(run({file("k", make_elf(false, 0x200000, {{0x200000, 0x1000, h}})), "", {}, ""}).kernel_kind, "multiboot1");
}

TEST_F(loaders, a_protocol_can_be_chosen_among_those_that_the_file_offers) {
  Data h = multiboot1_header(), h2 = multiboot2_header({});
  h.insert(h.end(), h2.begin(), h2.end());
  const std::string k = file("k", make_elf(false, 0x200000, {{0x200000, 0x1000, h}}));
  EXPECT_EQ(run({k, "", {}, "", "multiboot2"}).kernel_kind, "multiboot2");
  EXPECT_EQ(run({k, "", {}, "", "multiboot1"}).kernel_kind, "multiboot1");
  auto wrong_by = [&](const std::string& f, const char* protocol) { return wrong(LoadRequest{f, "", {}, "", protocol}); };
  EXPECT_EQ(wrong_by(k, "pvh"), "k: cannot be started by pvh; it offers multiboot1, multiboot2");
  EXPECT_EQ(wrong_by(file("text", Data(100, 'x')), "linux"), "text: cannot be started by linux: it is of no known kind");
}

TEST_F(loaders, multiboot2_requirements_that_cannot_be_met) {
  auto k = [&](Data t) { return file("k", make_elf(false, 0x200000, {{0x200000, 0x1000, multiboot2_header({t})}})); };
  EXPECT_EQ(wrong(k(tag2(1, 0, {17}))), "k: its Multiboot2 header requires information of type 17, which is not given here");
  EXPECT_EQ(wrong(k(tag2(1, 0, {5}))), "k: its Multiboot2 header requires information of type 5, which is not given here");
  p.rsdp_revision = 0;
  EXPECT_EQ(wrong(k(tag2(1, 0, {15}))), "k: its Multiboot2 header requires information of type 15, which is not given here");
  EXPECT_EQ(wrong(k(tag2(1, 0, {1, 2, 3, 4, 6, 14}))), "loaded");
  EXPECT_EQ(wrong(k(tag2(1, 1, {17, 99}))), "loaded");
  EXPECT_EQ(wrong(k(tag2(99, 0, {}))), "k: its Multiboot2 header requires tag 99, which is unknown");
  EXPECT_EQ(wrong(k(tag2(99, 1, {}))), "loaded");
  EXPECT_EQ(wrong(k(tag2(2, 0, {1}))), "k: its Multiboot2 header has a short tag of type 2");
}

TEST_F(loaders, who_asks_for_a_display_is_told_of_the_text_screen) {   // Multiboot "Boot information format", framebuffer; Multiboot2 "Framebuffer info"
  const std::string one = file("one", make_elf(false, 0x200000, {{0x200000, 0x1000, multiboot1_header(7, {0, 0, 0, 0, 0, 1, 80, 25, 0})}}));
  const std::string two = file("two", make_elf(false, 0x200000, {{0x200000, 0x1000, multiboot2_header({tag2(5, 0, {80, 25, 0})})}}));
  auto screen = [&]() -> u64 {
    for (u64 at = image.entry.ebx + 8, end = image.entry.ebx + get(image.entry.ebx, 4); at < end; at += align_up(get(at + 4, 4), 8)) if (get(at, 4) == 8) return at;
    return 0;
  };
  run({one, "", {}, ""});
  const u64 i = image.entry.ebx;
  EXPECT_TRUE(get(i, 4) & 1 << 12);
  EXPECT_EQ(get(i + 88, 8), 0xb8000u);
  EXPECT_EQ(get(i + 96, 4), 160u);
  EXPECT_EQ(get(i + 100, 8), 25ull << 32 | 80);
  EXPECT_EQ(get(i + 108, 2), 2u << 8 | 16);
  EXPECT_TRUE(image.warnings.empty());
  run({two, "", {}, ""});
  ASSERT_NE(screen(), 0u);
  EXPECT_EQ(get(screen() + 4, 4), 32u);
  EXPECT_EQ(get(screen() + 8, 8), 0xb8000u);
  EXPECT_EQ(get(screen() + 28, 2), 2u << 8 | 16);
  p.vga = false;
  run({one, "", {}, ""});
  EXPECT_FALSE(get(image.entry.ebx, 4) & 1 << 12);
  EXPECT_EQ(image.warnings.size(), 1u);
  run({two, "", {}, ""});
  EXPECT_EQ(screen(), 0u);
  EXPECT_EQ(image.warnings.size(), 1u);
}

// ---- Linux and PVH ----

TEST_F(loaders, linux_32_bit_entry) {     // "32-bit Boot Protocol"
  run({file("bz", bzimage()), "console=ttyS0", {}, file("initrd", Data(5000, 5))});
  EXPECT_EQ(image.kernel_kind, "linux");
  EXPECT_EQ(image.entry.eip, 0x1000000u);
  EXPECT_EQ(get(0x1000000, 1), 0xccu);
  u64 z = image.entry.esi;
  EXPECT_EQ(image.entry.ebx, 0u);
  EXPECT_EQ(get(z + 0x202, 4), 0x53726448u);
  EXPECT_EQ(get(z + 0x210, 1), 0xffu);
  EXPECT_EQ(get(z + 0x214, 4), 0x1000000u);
  EXPECT_EQ(str(get(z + 0x228, 4)), "console=ttyS0");
  EXPECT_EQ(get(z + 0x21c, 4), 5000u);
  EXPECT_EQ(get(z + 6, 2), 80u << 8 | 3) << "screen_info: mode and columns";
  EXPECT_EQ(get(z + 14, 2), 1u << 8 | 25) << "lines, and that it is a VGA";
  EXPECT_EQ(get(z + 16, 2), 16u);
  u64 rd = get(z + 0x218, 4);
  EXPECT_EQ(rd % kPageSize, 0u);
  EXPECT_EQ(rd, 0x7ffde000u);
  EXPECT_EQ(get(rd, 1), 5u);
  EXPECT_EQ(get(z + 0x070, 8), firmware_layout(p).rsdp);
  ASSERT_EQ(get(z + 0x1e8, 1), p.e820.size());
  for (std::size_t n = 0; n < p.e820.size(); ++n) {
    EXPECT_EQ(get(z + 0x2d0 + 20 * n, 8), p.e820[n].first);
    EXPECT_EQ(get(z + 0x2d8 + 20 * n, 8), p.e820[n].size);
    EXPECT_EQ(get(z + 0x2e0 + 20 * n, 4), static_cast<u32>(p.e820[n].type));
  }
}

TEST_F(loaders, linux_moves_where_it_may) {
  p = load_platform(PLATFORMS "/kernel-hole.json");
  run({file("bz", bzimage()), "", {}, ""});
  EXPECT_EQ(image.entry.eip, 0x1a00000u);
  EXPECT_EQ(wrong({file("bz", bzimage(0x20f, 0x1000000, 0x2000000, 0)), "", {}, ""}).find("bz: needs 0x2000000 bytes of RAM at 0x1000000"), 0u);
}

TEST_F(loaders, linux_that_cannot_be_loaded) {
  Data d = bzimage();
  d.resize(0x1000);
  EXPECT_EQ(wrong(file("bz", d)), "bz: is cut short: a bzImage of 17408 bytes is announced, the file has 4096; copy or build it again");
  EXPECT_EQ(wrong(file("bz", bzimage(0x209))), "bz: is a Linux kernel of boot protocol 2.09; 2.10 (Linux 2.6.31) or later is needed");
  EXPECT_EQ(wrong({file("bz", bzimage()), std::string(3000, 'a'), {}, ""}), "bz: takes a command line of 2047 characters; this one has 3000");
  EXPECT_EQ(wrong({file("bz", bzimage()), "", {{file("m", Data(1, 1)), ""}}, ""}), "m: Linux takes no modules; give an initramfs with --initrd");
  p = default_platform(u64{16} << 20);
  EXPECT_EQ(wrong(file("bz", bzimage())).find("bz: needs 0x2000000 bytes of RAM below 4 GiB"), 0u);
}

TEST_F(loaders, pvh_entry_and_start_information) {     // "x86/HVM direct boot ABI"
  Data n = note("GNU", 3, 1), x = note("Xen", 18, 0x1000040);
  n.insert(n.end(), x.begin(), x.end());
  run({file("vmlinux", make_elf(true, 0xffffffff81000000, {{0x1000000, 0x9000, Data(100, 1), 0xffffffff81000000}, {0, 0, n, 0, 4}})), "quiet", {}, file("initrd", Data(10, 2))});
  EXPECT_EQ(image.kernel_kind, "pvh");
  EXPECT_EQ(image.entry.eip, 0x1000040u);
  u64 s = image.entry.ebx;
  EXPECT_EQ(get(s, 4), 0x336ec578u);
  EXPECT_EQ(get(s + 4, 4), 1u);
  EXPECT_EQ(get(s + 12, 4), 1u);
  u64 m = get(s + 16, 8);
  EXPECT_EQ(get(m + 8, 8), 10u);
  EXPECT_EQ(get(get(m, 8), 1), 2u);
  EXPECT_EQ(str(get(s + 24, 8)), "quiet");
  EXPECT_EQ(get(s + 32, 8), firmware_layout(p).rsdp);
  EXPECT_EQ(get(s + 48, 4), p.e820.size());
  EXPECT_EQ(get(get(s + 40, 8) + 24 + 8, 8), p.e820[1].size);
}

// ---- ROM images ----

TEST_F(loaders, rom_ends_at_four_gib_and_below_one_mib) {     // SDM 3A "First Instruction Executed"
  Data d(256 << 10, 0x90);
  d[d.size() - 16] = 0xea;
  d[d.size() - (128 << 10)] = 0x42;
  run({file("bios.bin", d), "", {}, ""});
  EXPECT_EQ(image.kernel_kind, "rom");
  EXPECT_EQ(image.entry.mode, Entry::Mode::reset_vector);
  EXPECT_EQ(get(0xfffffff0, 1), 0xeau);
  EXPECT_EQ(get(0xffff0, 1), 0xeau);
  EXPECT_EQ(get(0xe0000, 1), 0x42u);
  EXPECT_EQ(get(0xfffc0000, 1), 0x90u);
}

TEST_F(loaders, unknown_files_are_told_what_they_would_have_to_be) {
  EXPECT_EQ(wrong(file("x", Data(1000, 0x42))), "x: is neither a Multiboot or PVH ELF file, nor a bzImage; as a ROM image its size, 1000 bytes, "
                                                "would have to be a multiple of 64 KiB up to 16 MiB");
  EXPECT_EQ(wrong(file("x", Data(64 << 10, 0))), "x: is of no known kind, and as a ROM image it has no instruction at its reset vector, 16 bytes before the end");
}

// ---- wrong files ----

TEST_F(loaders, missing_empty_and_unreadable_files) {
  EXPECT_EQ(wrong(dir + "/none"), "none: cannot be opened (No such file or directory); check the path");
  EXPECT_EQ(wrong(file("k", {})), "k: is empty; copy or build it again");
  EXPECT_EQ(wrong(dir + "/."), ".: is a directory; give a file");
  EXPECT_EQ(wrong({file("k", xen_like()), "", {{dir + "/none", ""}}, ""}), "none: cannot be opened (No such file or directory); check the path");
  EXPECT_EQ(wrong({file("k", xen_like()), "", {{file("m", {}), ""}}, ""}), "m: is empty; copy or build it again");
}

TEST_F(loaders, damaged_gzip) {
  Data d = contents(gz("k.gz", xen_like()));
  Data cut(d.begin(), d.begin() + static_cast<std::ptrdiff_t>(d.size() / 2));
  EXPECT_EQ(wrong(file("cut.gz", cut)), "cut.gz: the gzip data is cut short; copy it again");
  Data bad = d;
  for (std::size_t i = 12; i < 30 && i < bad.size(); ++i) bad[i] ^= 0xff;
  EXPECT_EQ(wrong(file("bad.gz", bad)), "bad.gz: the gzip data is damaged; copy it again");
  Data crc = d;
  crc[crc.size() - 6] ^= 1;
  EXPECT_EQ(wrong(file("crc.gz", crc)), "crc.gz: the gzip data is damaged; copy it again");
  EXPECT_EQ(wrong(gz("nothing.gz", {})), "nothing.gz: unpacks to nothing; copy or build it again");
}

TEST_F(loaders, elf_files_that_cannot_be_loaded) {
  Data d = xen_like();
  d.resize(0x1010);
  EXPECT_EQ(wrong(file("k", d)), "k: is cut short: segment 0 needs 64 bytes from offset 0x1000, the file has 4112; copy or build it again");
  d.resize(40);
  EXPECT_EQ(wrong(file("k", d)), "k: is cut short inside its ELF header; copy or build it again");
  EXPECT_EQ(wrong(file("k", make_elf(true, 0, {{0x200000, 0x1000, multiboot1_header()}}, 183))), "k: is an ELF file for AArch64; this is an x86 platform, so give an x86 build");
  EXPECT_EQ(wrong(file("k", make_elf(true, 0, {{0x200000, 0x1000, multiboot1_header()}}, 999))), "k: is an ELF file for machine 999; this is an x86 platform, so give an x86 build");
  Data big = xen_like();
  big[5] = 2;
  EXPECT_EQ(wrong(file("k", big)), "k: is a big-endian ELF file; an x86 kernel is needed");
  EXPECT_EQ(wrong(file("xen-syms", make_elf(true, 0, {{0x200000, 0x1000, Data(10, 1)}}))).find("xen-syms: is an ELF64 file without a Multiboot header in its first 8 KiB and without a PVH entry note; "
            "if it is a file of symbols (xen-syms"), 0u);
  EXPECT_EQ(wrong(file("k", make_elf(true, 0x100000000, {{0x100000000, 0x1000, multiboot1_header()}}))).find("k: wants 0x100000000-0x100000fff, beyond 4 GiB"), 0u);
  EXPECT_EQ(wrong(file("k", make_elf(false, 0x7fff0000, {{0x7fff0000, 0x1000, multiboot1_header()}}))), "k: wants 0x7fff0000-0x7fff0fff, which is not all RAM on this platform; give more memory or another E820");
  EXPECT_EQ(wrong(file("k", make_elf(false, 0x100, {{0x100, 0x1000, multiboot1_header()}}))), "k: wants 0x100-0x10ff, but page 0 holds the BIOS data area");
  EXPECT_EQ(wrong(file("k", make_elf(false, 0xa0000, {{0x200000, 0x1000, multiboot1_header()}}))), "k: its entry point 0xa0000 is not in RAM on this platform");
}

TEST_F(loaders, every_cut_of_an_elf_file_is_refused_and_nothing_worse) {
  Data d = xen_like();
  for (std::size_t n = 1; n < d.size(); n += 13) { Data c(d.begin(), d.begin() + static_cast<std::ptrdiff_t>(n)); EXPECT_NE(wrong(file("k", c)), "loaded") << n; }
}

TEST_F(loaders, multiboot1_headers_that_cannot_be_followed) {
  EXPECT_EQ(wrong(file("k", make_elf(false, 0x200000, {{0x200000, 0x1000, multiboot1_header(3 | 1 << 5)}}))), "k: its Multiboot header requires features 0x20, which the specification does not define");
  EXPECT_EQ(wrong(file("k", multiboot1_header())), "k: has a Multiboot header without address fields and is not an ELF file; nothing says where it goes");
  EXPECT_EQ(wrong(file("k", multiboot1_header(1 << 16, {0x300000, 0x310000, 0, 0, 0x300000}))).find("k: its Multiboot header gives load address 0x310000"), 0u);
  EXPECT_EQ(wrong(file("k", multiboot1_header(1 << 16, {0x300000, 0x300000, 0x400000, 0, 0x300000}))).find("k: is cut short: its Multiboot header needs 1048576 bytes"), 0u);
}

TEST_F(loaders, files_of_other_kinds_get_advice) {
  auto kind = [&](std::initializer_list<u8> b) { Data d(b); d.resize(100); return wrong(file("f", d)); };
  EXPECT_EQ(kind({'M', 'Z'}).find("f: is an EFI program (PE), and there is no EFI here; give the Multiboot file instead: for Xen xen.gz"), 0u);
  EXPECT_EQ(kind({'0', '7', '0', '7', '0', '1'}).find("f: is an initramfs (cpio), not a kernel"), 0u);
  EXPECT_EQ(kind({0xfd, '7', 'z', 'X', 'Z', 0}), "f: is packed with xz; unpack it first (unxz)");
  EXPECT_EQ(kind({0x28, 0xb5, 0x2f, 0xfd}), "f: is packed with zstd; unpack it first (unzstd)");
  EXPECT_EQ(kind({'Q', 'F', 'I', 0xfb}), "f: is a qcow2 disk image, not a kernel");
}

TEST_F(loaders, modules_that_are_too_large_or_too_many) {
  p = default_platform(u64{16} << 20);
  EXPECT_EQ(wrong({file("k", xen_like()), "", {{file("m", Data(20 << 20, 1)), ""}}, ""}), "m: 20971520 bytes do not fit in free RAM below 4 GiB; give more memory");
  std::string m = file("m", Data(1, 1));
  EXPECT_EQ(wrong({file("k", xen_like()), "", std::vector<Module>(65, {m, ""}), ""}), "m: 65 modules are too many; 64 can be loaded");
  EXPECT_EQ(wrong({file("k", xen_like()), "", std::vector<Module>(64, {m, ""}), ""}), "loaded");
  EXPECT_EQ(wrong({file("k", xen_like()), "", {}, m}), "m: a Multiboot kernel takes no initrd; give it as a --module (with Xen the second one, after dom0's kernel)");
  EXPECT_EQ(wrong({file("bz", bzimage(0x20f, 0x200000, 0x400000)), "", {}, file("rd", Data(20 << 20, 1))}).find("rd: 20971520 bytes do not fit in free RAM below"), 0u);
}

TEST_F(loaders, sha256_of_bytes_and_files) {     // FIPS 180-4, example of one block
  EXPECT_EQ(sha256(std::vector<u8>{'a', 'b', 'c'}), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256_file(file("abc", {'a', 'b', 'c'})), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256_file(file("e", {})), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_THROW(sha256_file(dir + "/none"), LoadError);
}

}  // namespace
