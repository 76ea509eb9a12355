// SPDX-License-Identifier: GPL-2.0-or-later
/// Symbols of the software under test, from an ELF file (xen-syms, vmlinux, *.debug). Xen is relocated physically only:
/// link addresses are the addresses it runs at.
#pragma once
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "base/types.hpp"

namespace vt::hv {

/// `what()` reads: FILE: what is wrong, and what to do.
struct SymbolError : std::runtime_error { using runtime_error::runtime_error; };

class Symbols {
 public:
  /// Throws SymbolError.
  static Symbols load(const std::string& file);
  /// The symbols of the kernel with this build id: from `given` if not empty (SymbolError when it is of another build), else from
  /// what lies beside the kernel (xen-syms, NAME-syms, NAME.debug, usr/lib/debug/); nothing there or another build: none.
  static std::optional<Symbols> for_kernel(const std::string& kernel, const std::string& build_id, const std::string& given);

  /// "p2m_add_page+0x1c"; empty where no symbol covers the address.
  std::string name(u64 address) const;
  std::optional<u64> find(std::string_view name) const;

  /// Linked addresses [first, last] that run somewhere else, too: `delta` further on.
  struct Moved { u64 first = 0, last = 0, delta = 0; };
  void also_at(const Moved& m) { moved_.push_back(m); }
  const std::vector<Moved>& moved() const { return moved_; }
  struct Symbol { u64 at, size; std::string name; };
  /// Those within [first, last].
  std::vector<Symbol> within(u64 first, u64 last) const;
  /// Where the symbol begins that covers an address; none: none does.
  std::optional<u64> begin_of(u64 address) const;

  const std::string& file() const { return file_; }
  const std::string& build_id() const { return build_id_; }
  std::size_t size() const { return symbols_.size(); }

 private:
  const Symbol* covering(u64 address) const;
  std::string file_, build_id_;
  std::vector<Symbol> symbols_;   ///< by address
  std::vector<Moved> moved_;
};

/// What an ELF file loads.
struct Segment { u64 linked = 0, physical = 0; std::vector<u8> bytes; };
/// Empty: it cannot be read, or loads nothing.
std::vector<Segment> segments_of(const std::string& elf);

}  // namespace vt::hv
