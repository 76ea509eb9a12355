// SPDX-License-Identifier: GPL-2.0-or-later
#include "gdb/elsewhere.hpp"

#include <elf.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <set>

#include "cpu/observer.hpp"
#include "emu/timeline.hpp"

namespace vt::cli::gdb {
namespace {

constexpr u64 kLimit = 20'000'000;      ///< steps: whoever decompresses something first is not followed to the end
constexpr u64 kPiece = 100'000;
constexpr std::size_t kBytes = 12;      ///< that tell one place in the code from others
constexpr u64 kGap = 0x10000;           ///< what is further apart is not one piece
constexpr unsigned kVotes = 3;

/// Hears of every instruction that is decoded.
class Decoded final : public cpu::Observer {
 public:
  void call(const cpu::Cpu&, u64, u64) override {}
  void ret(const cpu::Cpu&, u64) override {}
  bool probe(const cpu::Cpu&, u64) override { return false; }
  bool probed(u64 rip) const override {
    if (rip >> 32 == 0) low.insert(rip);
    return false;
  }
  mutable std::set<u64> low;
};

class Finder {
 public:
  Finder(const PhysMem& memory, std::vector<hv::Segment> segments) : memory_(memory), segments_(std::move(segments)) {}
  bool linked(u64 at) const {
    return std::any_of(segments_.begin(), segments_.end(), [&](auto& s) { return at >= s.linked && at - s.linked < s.bytes.size(); });
  }
  bool moves() const { return std::any_of(segments_.begin(), segments_.end(), [](auto& s) { return s.linked != s.physical; }); }

  std::vector<hv::Symbols::Moved> find(const std::set<u64>& executed, const hv::Symbols& symbols) {
    std::map<u64, std::set<u64>> by_delta;   // linked addresses
    std::vector<u64> others;
    for (u64 at : executed) {
      bool in_place = false;
      for (auto& s : segments_)
        if (const u64 delta = s.physical - s.linked; !in_place && delta && equal(at, at - delta, kBytes) == kBytes) by_delta[delta].insert(at - delta), in_place = true;
      if (!in_place) others.push_back(at);
    }
    std::map<u64, std::set<u64>> copies;
    if (others.size() > kMost) others.resize(kMost);
    for (u64 at : others)
      for (u64 linked : places(at)) copies[at - linked].insert(linked);
    std::vector<hv::Symbols::Moved> all;
    for (auto& [delta, set] : by_delta) pieces(delta, set, false, symbols, all);
    for (auto& [delta, set] : copies) if (set.size() >= kVotes) pieces(delta, set, true, symbols, all);
    return all;
  }

 private:
  static constexpr std::size_t kMost = 512;
  const u8* bytes_at(u64 linked, u64& left) const {
    for (auto& s : segments_)
      if (linked >= s.linked && linked - s.linked < s.bytes.size()) {
        left = s.bytes.size() - (linked - s.linked);
        return s.bytes.data() + (linked - s.linked);
      }
    return nullptr;
  }
  /// How many of `n` bytes in memory are those of the file.
  std::size_t equal(u64 physical, u64 linked, std::size_t n) const {
    u64 left = 0;
    const u8* want = bytes_at(linked, left);
    if (!want || left < n) return 0;
    std::size_t same = 0;
    for (std::size_t i = 0; i < n; ++i) same += memory_.present(Hpa{physical + i}) && memory_.host()[physical + i] == want[i];
    return same;
  }
  /// Where the file has what is in memory there; nothing where that says little.
  std::vector<u64> places(u64 physical) const {
    std::vector<u64> all;
    if (!memory_.present(Hpa{physical}) || !memory_.present(Hpa{physical + kBytes - 1})) return all;
    const u8* what = memory_.host() + physical;
    for (auto& s : segments_) {
      const u8 *at = s.bytes.data(), *end = at + s.bytes.size();
      while ((at = static_cast<const u8*>(::memmem(at, static_cast<std::size_t>(end - at), what, kBytes)))) {
        all.push_back(s.linked + static_cast<u64>(at - s.bytes.data()));
        if (all.size() > 4) return {};
        ++at;
      }
    }
    return all;
  }
  void pieces(u64 delta, const std::set<u64>& set, bool copy, const hv::Symbols& symbols, std::vector<hv::Symbols::Moved>& all) const {
    for (auto it = set.begin(); it != set.end();) {
      u64 first = *it, last = *it;
      for (; it != set.end() && *it - last < kGap; ++it) last = *it;
      if (copy) {   // it was copied as a whole, whatever of it has been executed
        while (equal(first - 8 + delta, first - 8, 8) >= 4 && last - first < kGap) first -= 8;
        while (equal(last + 8 + delta, last + 8, 8) >= 4 && last - first < kGap) last += 8;
      } else if (const auto begin = symbols.begin_of(first)) {
        first = *begin;
      }
      all.push_back({first, last + 7, delta});
    }
  }

  const PhysMem& memory_;
  const std::vector<hv::Segment> segments_;
};

}  // namespace

std::vector<hv::Symbols::Moved> find_moved(emu::Machine& m, const hv::Symbols& symbols, const std::string& file, const std::function<void(u64)>& to) {
  Finder finder(m.memory(), hv::segments_of(file));
  if (!finder.moves()) return {};
  emu::Timeline beginning(m);
  const u64 start = m.steps();
  Decoded decoded;
  cpu::Observer* const before = m.processor(0).observer();
  m.observe(&decoded);
  while (!finder.linked(m.processor(0).rip) && m.steps() - start < kLimit && !m.stop().requested()) {
    const u64 from = m.steps();
    to(from + kPiece);
    if (m.steps() == from) break;
  }
  auto found = finder.find(decoded.low, symbols);
  m.observe(before);
  m.stop().clear();
  beginning.restore(start);
  return found;
}

std::string moved_elf(const hv::Symbols& symbols) {
  std::vector<Elf64_Shdr> sections(1);
  std::vector<Elf64_Sym> table(1);
  std::string names(1, '\0'), section_names(1, '\0');
  auto add_name = [](std::string& to, const std::string& s) {
    const auto at = static_cast<Elf64_Word>(to.size());
    to += s + '\0';
    return at;
  };
  for (auto& m : symbols.moved()) {
    const auto inside = symbols.within(m.first, m.last);
    if (inside.empty()) continue;
    Elf64_Shdr code{};
    code.sh_name = add_name(section_names, ".text"), code.sh_type = SHT_NOBITS, code.sh_flags = SHF_ALLOC | SHF_EXECINSTR;
    code.sh_addr = m.first + m.delta, code.sh_size = m.last - m.first + 1, code.sh_addralign = 1;
    for (auto& s : inside) {
      Elf64_Sym e{};
      e.st_name = add_name(names, s.name), e.st_info = ELF64_ST_INFO(STB_GLOBAL, STT_NOTYPE), e.st_shndx = static_cast<Elf64_Section>(sections.size());
      e.st_value = s.at + m.delta, e.st_size = s.size;
      table.push_back(e);
    }
    sections.push_back(code);
  }
  if (table.size() == 1) return {};
  std::string body(sizeof(Elf64_Ehdr), '\0');
  auto put = [&](const char* name, Elf64_Word type, std::string_view bytes, Elf64_Word link, Elf64_Word info, u64 entry) {
    body.resize((body.size() + 7) & ~std::size_t{7}, '\0');
    Elf64_Shdr h{};
    h.sh_name = add_name(section_names, name), h.sh_type = type, h.sh_offset = body.size(), h.sh_link = link, h.sh_info = info, h.sh_entsize = entry, h.sh_addralign = 8;
    const std::string copy(type == SHT_STRTAB && bytes.empty() ? std::string_view(section_names) : bytes);
    h.sh_size = copy.size();
    body += copy;
    sections.push_back(h);
  };
  const auto strings = static_cast<Elf64_Word>(sections.size() + 1);
  put(".symtab", SHT_SYMTAB, {reinterpret_cast<const char*>(table.data()), table.size() * sizeof table[0]}, strings, 1, sizeof(Elf64_Sym));
  put(".strtab", SHT_STRTAB, names, 0, 0, 0);
  put(".shstrtab", SHT_STRTAB, {}, 0, 0, 0);   // the names of the sections themselves
  body.resize((body.size() + 7) & ~std::size_t{7}, '\0');
  Elf64_Ehdr h{};
  std::memcpy(h.e_ident, ELFMAG, SELFMAG);
  h.e_ident[EI_CLASS] = ELFCLASS64, h.e_ident[EI_DATA] = ELFDATA2LSB, h.e_ident[EI_VERSION] = EV_CURRENT;
  h.e_type = ET_EXEC, h.e_machine = EM_X86_64, h.e_version = EV_CURRENT, h.e_ehsize = sizeof h, h.e_shoff = body.size(), h.e_shentsize = sizeof(Elf64_Shdr);
  h.e_shnum = static_cast<Elf64_Half>(sections.size()), h.e_shstrndx = static_cast<Elf64_Half>(sections.size() - 1);
  std::memcpy(body.data(), &h, sizeof h);
  body.append(reinterpret_cast<const char*>(sections.data()), sections.size() * sizeof sections[0]);
  return body;
}

}  // namespace vt::cli::gdb
