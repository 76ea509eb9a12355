// SPDX-License-Identifier: GPL-2.0-or-later
#include "hypervisor/lines.hpp"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <map>

namespace vt::hv {

struct Lines::Impl {
  ~Impl() {
    if (dwarf) ::dwarf_end(dwarf);
    if (fd >= 0) ::close(fd);
  }
  int fd = -1;
  Dwarf* dwarf = nullptr;
  mutable std::map<u64, std::vector<LineFrame>> known;
};

Lines::Lines(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Lines::Lines(Lines&&) noexcept = default;
Lines& Lines::operator=(Lines&&) noexcept = default;
Lines::~Lines() = default;

std::optional<Lines> Lines::load(const std::string& elf) {
  auto i = std::make_unique<Impl>();
  i->fd = ::open(elf.c_str(), O_RDONLY | O_CLOEXEC);
  if (i->fd < 0) return {};
  i->dwarf = ::dwarf_begin(i->fd, DWARF_C_READ);
  if (!i->dwarf) return {};
  Dwarf_Off next = 0;
  std::size_t header = 0;
  if (::dwarf_nextcu(i->dwarf, 0, &next, &header, nullptr, nullptr, nullptr) != 0) return {};   // symbols only
  return Lines(std::move(i));
}

namespace {

std::string attribute_text(Dwarf_Die& die, unsigned name) {
  Dwarf_Attribute a;
  const char* s = ::dwarf_formstring(::dwarf_attr_integrate(&die, name, &a));
  return s ? s : "";
}

/// Below the directory of the build, and without "./".
std::string shortened(const char* file, const std::string& directory) {
  std::string f = file ? file : "";
  if (!directory.empty() && f.starts_with(directory + "/")) f.erase(0, directory.size() + 1);
  while (f.starts_with("./")) f.erase(0, 2);
  return f;
}

}  // namespace

std::vector<LineFrame> Lines::at(u64 address) const {
  if (auto k = impl_->known.find(address); k != impl_->known.end()) return k->second;
  std::vector<LineFrame>& out = impl_->known[address];
  Dwarf_Die cu;
  if (!::dwarf_addrdie(impl_->dwarf, address, &cu)) return out;
  const std::string directory = attribute_text(cu, DW_AT_comp_dir);
  LineFrame here;
  if (Dwarf_Line* line = ::dwarf_getsrc_die(&cu, address)) {
    int number = 0;
    ::dwarf_lineno(line, &number);
    here.line = static_cast<unsigned>(number);
    here.file = shortened(::dwarf_linesrc(line, nullptr, nullptr), directory);
  }
  Dwarf_Files* files = nullptr;
  ::dwarf_getsrcfiles(&cu, &files, nullptr);
  // The innermost scope, then those around it where the code stands (and not where an inlined function was defined).
  Dwarf_Die *innermost = nullptr, *scopes = nullptr;
  const int found = ::dwarf_getscopes(&cu, address, &innermost);
  const int n = found > 0 ? ::dwarf_getscopes_die(&innermost[0], &scopes) : 0;
  std::free(innermost);
  for (int k = 0; k < n; ++k) {
    const int tag = ::dwarf_tag(&scopes[k]);
    if (tag != DW_TAG_inlined_subroutine && tag != DW_TAG_subprogram) continue;
    here.function = attribute_text(scopes[k], DW_AT_name);
    out.push_back(here);
    if (tag == DW_TAG_subprogram) break;
    // The next frame is where this one was called.
    Dwarf_Attribute a;
    Dwarf_Word line = 0, file = 0;
    ::dwarf_formudata(::dwarf_attr(&scopes[k], DW_AT_call_line, &a), &line);
    ::dwarf_formudata(::dwarf_attr(&scopes[k], DW_AT_call_file, &a), &file);
    here = {{}, files ? shortened(::dwarf_filesrc(files, file, nullptr, nullptr), directory) : std::string{}, static_cast<unsigned>(line)};
  }
  std::free(scopes);
  return out;
}

}  // namespace vt::hv
