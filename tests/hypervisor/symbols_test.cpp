// SPDX-License-Identifier: GPL-2.0-or-later
#include <gtest/gtest.h>
#include <zlib.h>

#include <filesystem>
#include <fstream>

#include "elf_maker.hpp"
#include "hypervisor/kernel.hpp"
#include "hypervisor/symbols.hpp"

namespace vt::hv {
namespace {

struct SymbolsTest : ::testing::Test {
  SymbolsTest() {
    char name[] = "/tmp/vitrine-symbols-XXXXXX";
    dir = ::mkdtemp(name);
  }
  ~SymbolsTest() override { std::filesystem::remove_all(dir); }
  std::string at(const std::string& name) const { return dir + "/" + name; }
  std::string dir;
  const std::string id = "\x15\x1b\x37\x3f", other = "\x01\x02\x03\x04";
  const std::vector<MadeSymbol> two{{"p2m_add_page", 0xffff82d0402d9760, 1996}, {"label", 0xffff82d040300000, 0}};
};

TEST_F(SymbolsTest, address_becomes_name_and_offset) {
  make_elf(at("syms"), true, id, two);
  const Symbols s = Symbols::load(at("syms"));
  EXPECT_EQ(s.name(0xffff82d0402d9760), "p2m_add_page");
  EXPECT_EQ(s.name(0xffff82d0402d977c), "p2m_add_page+0x1c");
  EXPECT_EQ(s.name(0xffff82d0402d9760 + 1996), "");       // behind its end
  EXPECT_EQ(s.name(0xffff82d0402d975f), "");              // before the first
  EXPECT_EQ(s.name(0xffff82d040300010), "label+0x10");    // a label has no size
  EXPECT_EQ(s.name(0xffff82d040400000), "");
  EXPECT_EQ(s.find("p2m_add_page"), 0xffff82d0402d9760);
  EXPECT_FALSE(s.find("nothing"));
  EXPECT_EQ(s.build_id(), "151b373f");
}

TEST_F(SymbolsTest, build_id_of_a_32_bit_kernel_packed_or_plain) {
  make_elf(at("xen"), false, id, {}, "Xen version %d.%d%s (%s)");
  Kernel k = inspect_kernel(at("xen"));
  EXPECT_EQ(k.build_id, "151b373f");
  EXPECT_EQ(k.kind, Kind::xen);
  std::ifstream in(at("xen"), std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(in)), {});
  gzFile out = gzopen(at("xen.gz").c_str(), "wb");
  gzwrite(out, bytes.data(), static_cast<unsigned>(bytes.size()));
  gzclose(out);
  k = inspect_kernel(at("xen.gz"));
  EXPECT_EQ(k.build_id, "151b373f");
  EXPECT_EQ(k.kind, Kind::xen);
}

TEST_F(SymbolsTest, other_kernels_are_unknown) {
  make_elf(at("k"), true, id, {});
  EXPECT_EQ(inspect_kernel(at("k")).kind, Kind::unknown);
  std::ofstream(at("text")) << "not an ELF file";
  EXPECT_EQ(inspect_kernel(at("text")).kind, Kind::unknown);
  EXPECT_EQ(inspect_kernel(at("missing")).build_id, "");
}

TEST_F(SymbolsTest, symbols_of_another_build_are_refused_when_asked_for) {
  make_elf(at("syms"), true, other, two);
  try {
    (void)Symbols::for_kernel(at("xen.gz"), "151b373f", at("syms"));
    FAIL();
  } catch (const SymbolError& e) {
    const std::string what = e.what();
    EXPECT_NE(what.find("syms: is of another build"), what.npos) << what;
    EXPECT_NE(what.find("01020304"), what.npos) << what;
    EXPECT_NE(what.find("151b373f"), what.npos) << what;
  }
}

TEST_F(SymbolsTest, symbols_beside_the_kernel_are_found_by_build_id) {
  make_elf(at("xen-syms"), true, other, two);
  EXPECT_FALSE(Symbols::for_kernel(at("xen.gz"), "151b373f", ""));
  std::filesystem::create_directories(at("usr/lib/debug"));
  make_elf(at("usr/lib/debug/xen-4.17-amd64.debug"), true, id, two);
  const auto s = Symbols::for_kernel(at("xen.gz"), "151b373f", "");
  ASSERT_TRUE(s);
  EXPECT_EQ(s->file(), at("usr/lib/debug/xen-4.17-amd64.debug"));
}

TEST_F(SymbolsTest, files_without_symbols_are_refused_by_name) {
  make_elf(at("stripped"), true, id, {});
  std::ofstream(at("text")) << "text";
  for (const char* file : {"stripped", "text", "missing"}) {
    try {
      (void)Symbols::load(at(file));
      ADD_FAILURE() << file;
    } catch (const SymbolError& e) {
      EXPECT_EQ(std::string(e.what()).rfind(at(file) + ": ", 0), 0u) << e.what();
    }
  }
}

}  // namespace
}  // namespace vt::hv
