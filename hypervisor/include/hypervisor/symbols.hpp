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

  const std::string& file() const { return file_; }
  const std::string& build_id() const { return build_id_; }
  std::size_t size() const { return symbols_.size(); }

 private:
  struct Symbol { u64 at, size; std::string name; };
  std::string file_, build_id_;
  std::vector<Symbol> symbols_;   ///< by address
};

}  // namespace vt::hv
